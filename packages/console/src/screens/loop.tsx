export const Loop = () => null;
