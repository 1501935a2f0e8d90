export const Triggers = () => null;
