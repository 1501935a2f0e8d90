/** What MLflow has and this server does not says so, in place of an address that is not found. */
import { ApiError, type Http, type Permission, type Platform } from "../platform/index.js";
import { mlflowScope } from "./protocol.js";

/** By the first part of the address below `…/mlflow/`. */
const parts: Record<string, string> = {
  traces: "traces",
  "unified-traces": "traces",
  "get-online-trace-details": "traces",
  datasets: "evaluation datasets",
  workspaces: "workspaces",
  issues: "evaluation of GenAI",
  "label-schemas": "evaluation of GenAI",
  scorers: "evaluation of GenAI",
  "prompt-optimization": "evaluation of GenAI",
  "review-queues": "evaluation of GenAI",
  gateway: "gateway",
  assistant: "assistant",
  jobs: "jobs",
  users: "users of MLflow's own",
  roles: "roles of MLflow's own",
};
const prefixes = ["/api/2.0/mlflow", "/ajax-api/2.0/mlflow", "/api/3.0/mlflow", "/ajax-api/3.0/mlflow"];
/** Addresses of MLflow's that lie elsewhere. */
const elsewhere: Record<string, string> = {
  "/graphql": "GraphQL",
  "/ajax-api/graphql": "GraphQL",
  "/v1/traces": "traces",
  "/static-files/*": "pages of MLflow's own",
};

export function missingRoutes(app: Http, platform: Pick<Platform, "log">): void {
  mlflowScope(app, platform, ({ scope }) => {
    // Whatever comes along is not read.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, payload, done) => {
      payload.resume();
      done(null, undefined);
    });
    const options = { config: { permission: "tracking:read" as Permission }, schema: { hide: true } };
    const answer = (address: string, what: string | undefined) =>
      scope.all(address, options, async (request) => {
        const path = request.url.split("?")[0] ?? "";
        const part = what ?? parts[/\/mlflow\/([^/]+)/.exec(path)?.[1] ?? ""];
        throw new ApiError(
          404,
          "ENDPOINT_NOT_FOUND",
          `This server has no ${part ?? "such route"}: ${request.method} ${path.slice(0, 300)} is of MLflow's API and not of this server's. docs/mlflow.md names every route that is.`,
        );
      });
    for (const prefix of prefixes) answer(`${prefix}/*`, undefined);
    for (const [address, what] of Object.entries(elsewhere)) answer(address, what);
  });
}
