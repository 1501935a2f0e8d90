/** MLflow's REST API of webhooks, and the history of what each was told. */
import { Page, PageQuery, WebhookDelivery } from "@millrace/sdk/api";
import { Type } from "@sinclair/typebox";
import { type Body, invalidValue, list, maxResults, mlflowScope, nextPage, optional, present, text } from "../mlflow/index.js";
import { type Http, invalid, type Platform } from "../platform/index.js";
import type { Webhook, WebhookStatus, Webhooks } from "./types.js";

export function webhookRoutes(app: Http, webhooks: Webhooks, platform: Pick<Platform, "log">): void {
  mlflowScope(app, platform, ({ on }) => {
    const id = (given: Body) => text(given, "webhook_id");
    on("POST", "webhooks", "webhooks:write", async (given) => {
      const events = eventsOf(given) ?? [];
      return { webhook: webhookJson(await webhooks.create({ ...changeOf(given), name: text(given, "name"), url: text(given, "url"), events })) };
    });
    on("GET", "webhooks", "webhooks:read", async (given) => {
      const { items, next } = await webhooks.list({ limit: maxResults(given, 100, 1_000), token: optional(given, "page_token") || undefined });
      return { webhooks: items.map(webhookJson), ...nextPage(next) };
    });
    on("GET", "webhooks/:webhook_id", "webhooks:read", async (given) => ({ webhook: webhookJson(await webhooks.get(id(given))) }));
    on("PATCH", "webhooks/:webhook_id", "webhooks:write", async (given) => ({ webhook: webhookJson(await webhooks.update(id(given), changeOf(given))) }));
    on("DELETE", "webhooks/:webhook_id", "webhooks:write", (given) => webhooks.delete(id(given)));
    on("POST", "webhooks/:webhook_id/test", "webhooks:write", async (given) => {
      const event = given.event === undefined || given.event === null ? undefined : eventsOf({ events: [given.event] })?.[0];
      const { status, body, error } = await webhooks.test(id(given), event);
      return {
        result: present({
          success: error === undefined,
          response_status: status,
          response_body: body,
          error_message: status === undefined ? error : undefined,
        }),
      };
    });
  });

  app.get(
    "/api/v1/webhooks/:id/deliveries",
    {
      config: { permission: "webhooks:read" },
      schema: { tags: ["webhooks"], params: Type.Object({ id: Type.String() }), querystring: PageQuery, response: { 200: Page(WebhookDelivery) } },
    },
    async ({ params, query: { limit = 100, after } }) => {
      if (after !== undefined && !/^[0-9]{1,15}$/.test(after)) throw invalid("`after` is not of an answer of this route: pass on the `next` of the last one.");
      return webhooks.deliveries(params.id, { limit, before: after === undefined ? undefined : Number(after) });
    },
  );
}

function changeOf(given: Body) {
  return {
    name: optional(given, "name") || undefined,
    url: optional(given, "url") || undefined,
    description: optional(given, "description"),
    secret: optional(given, "secret"),
    status: statusOf(optional(given, "status")),
    events: eventsOf(given),
  };
}
function statusOf(told: string | undefined): WebhookStatus | undefined {
  if (told === undefined || told === "ACTIVE" || told === "DISABLED") return told;
  throw invalidValue(`Invalid webhook status '${told.slice(0, 100)}': ACTIVE or DISABLED.`);
}
/** Protocol buffers have `{entity: "MODEL_VERSION", action: "CREATED"}`. */
function eventsOf(given: Body): string[] | undefined {
  const told = list(given, "events").map((one) => `${text(one, "entity").toLowerCase()}.${text(one, "action").toLowerCase()}`);
  return told.length === 0 ? undefined : told;
}
const webhookJson = (webhook: Webhook) =>
  present({
    webhook_id: webhook.id,
    name: webhook.name,
    url: webhook.url,
    events: webhook.events.map((event) => {
      const [entity, action] = event.toUpperCase().split(".");
      return { entity, action };
    }),
    description: webhook.description,
    status: webhook.status,
    creation_timestamp: webhook.created,
    last_updated_timestamp: webhook.updated,
  });
