import config from "./vitest.config.js";

// Tests that need a cluster: `npm run test:ray`, `npm run test:kubernetes`. They take minutes, and are no part of `npm test`.
export default {
  ...config,
  test: { ...config.test, include: ["packages/**/src/**/*.cluster.ts"], fileParallelism: false, testTimeout: 300_000, hookTimeout: 300_000 },
};
