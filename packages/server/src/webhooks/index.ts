/** Webhooks: whoever asked to is told of what happens in the registry, signed, and again until it is heard. */
export { webhookRoutes } from "./routes.js";
export { createWebhooks } from "./service.js";
