export const Prediction = () => null;
