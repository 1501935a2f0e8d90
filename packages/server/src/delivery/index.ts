/** Delivery: releases of projects, signed, and how they and models' versions come from one environment to the next. */
export { deliveryReferences } from "./references.js";
export { deliveryRoutes } from "./routes.js";
export { createDelivery, type Delivery } from "./service.js";
