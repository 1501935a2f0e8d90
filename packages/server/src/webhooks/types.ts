import type { WebhookDelivery } from "@millrace/sdk/api";
import type { Page } from "../mlflow/index.js";

export interface Webhook {
  id: string;
  name: string;
  url: string;
  description: string | null;
  status: WebhookStatus;
  /** `<entity>.<action>`, as `model_version.created`. */
  events: string[];
  created: number;
  updated: number;
}
export type WebhookStatus = "ACTIVE" | "DISABLED";
export interface WebhookChange {
  name?: string | undefined;
  url?: string | undefined;
  description?: string | undefined;
  events?: string[] | undefined;
  /** Empty: nothing is signed any more. */
  secret?: string | undefined;
  status?: WebhookStatus | undefined;
}
/** What came of one request. */
export interface Sent {
  /** Of HTTP; undefined where there was no answer. */
  status?: number;
  body?: string;
  error?: string;
  /** For how long the receiver asks to be left alone. */
  retryAfterMs?: number;
  /** Whether another attempt may go better. */
  again: boolean;
  /** It was this server that ended it. */
  cutOff?: boolean;
}

export interface Webhooks {
  create(webhook: WebhookChange & { name: string; url: string; events: string[] }): Promise<Webhook>;
  get(id: string): Promise<Webhook>;
  /** Newest first. */
  list(page: { limit: number; token: string | undefined }): Promise<Page<Webhook>>;
  update(id: string, change: WebhookChange): Promise<Webhook>;
  delete(id: string): Promise<void>;
  /** Sends an example at once, and once. */
  test(id: string, event: string | undefined): Promise<Sent>;
  /** Newest first. */
  deliveries(id: string, page: { limit: number; before: number | undefined }): Promise<{ items: WebhookDelivery[]; next?: string }>;
  stop(): Promise<void>;
}
