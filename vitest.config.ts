import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (name: string, file: string) => fileURLToPath(new URL(`packages/${name}/src/${file}.ts`, import.meta.url));

export default defineConfig({
  // Tests run the sources, so that they never see a build that is older.
  resolve: {
    alias: [
      { find: /^@millrace\/sdk$/, replacement: source("sdk", "index") },
      { find: /^@millrace\/sdk\/(.+)$/, replacement: source("sdk", "$1") },
      { find: /^@millrace\/server$/, replacement: source("server", "server") },
    ],
  },
  test: {
    include: ["packages/**/src/**/*.test.ts", "examples/**/*.test.ts", "scripts/**/*.test.ts"],
    // Real servers and processes: two files at a time, as much as two cores carry.
    env: { MILLRACE_CHECK_ANSWERS: "1" },
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // What is waited for comes at once, where the machine does nothing else.
    expect: { poll: { timeout: 20_000 } },
  },
});
