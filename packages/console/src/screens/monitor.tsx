export const Monitor = () => null;
