export const Dataset = () => null;
