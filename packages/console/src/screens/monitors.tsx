export const Monitors = () => null;
