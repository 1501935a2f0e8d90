export const FeatureViews = () => null;
