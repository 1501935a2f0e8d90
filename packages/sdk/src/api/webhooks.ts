import { type Static, Type } from "@sinclair/typebox";
import { Nullable, Time } from "./common.js";

/** What a webhook was told, or is to be told. Times are the machine's. */
export const WebhookDelivery = Type.Object({
  /** The same with each attempt: the header `X-MLflow-Delivery-Id`. */
  id: Type.String(),
  event: Type.String(),
  /** `dropped`: the webhook was disabled before. */
  state: Type.Union([Type.Literal("pending"), Type.Literal("delivered"), Type.Literal("failed"), Type.Literal("dropped")]),
  attempts: Type.Array(
    Type.Object({
      attempt: Type.Integer(),
      at: Time,
      /** Of HTTP. */
      status: Nullable(Type.Integer()),
      durationMs: Type.Number(),
      error: Nullable(Type.String()),
    }),
  ),
  nextAttemptAt: Nullable(Time),
  createdAt: Time,
  finishedAt: Nullable(Time),
});
export type WebhookDelivery = Static<typeof WebhookDelivery>;
