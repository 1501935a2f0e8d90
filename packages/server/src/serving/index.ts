/** Serving: endpoints that answer over the Open Inference Protocol, how new versions take over, and the log of what was predicted. */
export { createGraphs } from "./graphs.js";
export { openExchange } from "./protocol/exchange.js";
export { openInvocationRoutes } from "./protocol/invocations.js";
export { openInferenceProtocolRoutes } from "./protocol/routes.js";
export { servingReferences } from "./references.js";
export { servingRoutes } from "./routes.js";
export { createServing } from "./service.js";
export { type Serving, trialIds } from "./types.js";
/** Its libraries are loaded where there is a port for it. */
export const openGrpc = async (...given: Parameters<typeof import("./protocol/grpc.js").openGrpc>): Promise<import("./protocol/grpc.js").GrpcServer> =>
  (await import("./protocol/grpc.js")).openGrpc(...given);
