// The direction of dependencies: routes → service → store, capabilities through their index, nothing upwards.
const capability = "^packages/server/src/([^/]+)/";
module.exports = {
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } } },
    {
      name: "platform-knows-no-capability",
      severity: "error",
      from: { path: "^packages/server/src/platform/" },
      to: { path: capability, pathNot: "^packages/server/src/platform/" },
    },
    {
      name: "capabilities-through-their-index",
      severity: "error",
      from: { path: capability, pathNot: "(\\.test|/testing)\\.ts$" },
      // What a step kind is, is pipelines' to say and everyone's to know: a type without anything behind it. How a thread is started and names are quoted, processes and threads need that load nothing else.
      to: {
        path: capability,
        pathNot: ["^packages/server/src/$1/", "^packages/server/src/[^/]+/index\\.ts$", "^packages/server/src/(pipelines/step|platform/(thread|sql))\\.ts$"],
      },
    },
    {
      name: "only-the-composition-and-tests-know-the-server",
      severity: "error",
      from: { path: capability, pathNot: "(\\.test|/testing)\\.ts$" },
      to: { path: "^packages/server/src/(server|composition)\\.ts$" },
    },
    { name: "sdk-has-no-server-code", severity: "error", from: { path: "^packages/sdk/" }, to: { path: "^packages/(server|cli|console)/" } },
    // Its screens are in a syntax that this tool's parser is not told of: for them a lint rule says the same.
    { name: "console-uses-the-sdk-only", severity: "error", from: { path: "^packages/console/" }, to: { path: "^packages/(server|cli)/" } },
    { name: "server-knows-no-client", severity: "error", from: { path: "^packages/server/" }, to: { path: "^packages/(cli|console)/" } },
    { name: "store-and-service-know-no-http", severity: "error", from: { path: "/(store|service)\\.ts$" }, to: { path: "/routes\\.ts$" } },
  ],
  options: {
    parser: "swc",
    tsPreCompilationDeps: true,
    tsConfig: undefined,
    exclude: { path: ["(dist|node_modules)/", "\\.tsx$"] },
    doNotFollow: { path: "node_modules" },
  },
};
