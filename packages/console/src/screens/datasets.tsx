export const Datasets = () => null;
