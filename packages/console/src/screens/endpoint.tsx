export const Endpoint = () => null;
