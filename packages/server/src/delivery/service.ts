import type { Platform } from "../platform/index.js";
import type { Registry } from "../registry/index.js";
import { createReleases, type Releases } from "./releases.js";

export interface Delivery {
  releases: Releases;
}

export function createDelivery(platform: Platform, on: { registry: Registry }): Delivery {
  return { releases: createReleases(platform, on) };
}
