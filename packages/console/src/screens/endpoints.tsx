export const Endpoints = () => null;
