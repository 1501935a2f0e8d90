import { randomUUID } from "node:crypto";
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { WebhookDelivery } from "@millrace/sdk/api";
import { type RawBuilder, sql } from "kysely";
import { invalidValue, missing } from "../mlflow/index.js";
import type { Platform } from "../platform/index.js";
import type { Secrets } from "../secrets/index.js";
import { createReach, notAllowed } from "./addresses.js";
import { createDelivering } from "./deliver.js";
import { examples } from "./examples.js";
import { createSealing } from "./secrets.js";
import { send } from "./send.js";
import type { Webhook, WebhookChange, Webhooks } from "./types.js";

const timeoutMs = 30_000;
const usual = { schemes: ["https"], networks: [] as string[], attempts: 8, retryMs: 1_000 };
const most = { url: 2_000, description: 1_000, secret: 1_000 };

const millis = (column: RawBuilder<unknown>) => sql`floor(extract(epoch from ${column}) * 1000)::float8`;
const columns = sql`id, name, url, description, status, events, ${millis(sql`created_at`)} as created, ${millis(sql`updated_at`)} as updated`;
const noWebhook = (id: string) => missing(`Webhook with ID ${id.slice(0, 100)} not found.`);

export async function createWebhooks(
  { db, events, clock, config, log }: Pick<Platform, "db" | "events" | "clock" | "config" | "log">,
  { secrets }: { secrets: Pick<Secrets, "seal" | "open"> },
): Promise<Webhooks> {
  const settings = { ...usual, ...config.webhooks };
  const reach = createReach(settings.networks);
  const stopping = new AbortController();
  const sealing = createSealing({ db }, secrets);
  await sealing.sealPlain();
  const sendOne = sealing.signing((letter, stop) => send(letter, { reach, timeoutMs, stop }));
  const delivering = createDelivering({ db, log }, { ...settings, send: sendOne, timeoutMs });

  /** What is to be told is written down; an event that comes again is the same delivery. */
  events.subscribe("webhooks", Object.keys(examples), async ({ id, type, data, at }) => {
    const body = bodyOf(type, at, data);
    const { rows: wanting } = await sql<{ id: string }>`
      select id from webhook where status = 'ACTIVE' and events @> array[${type}] and created_at <= ${at}`.execute(db);
    for (const { id: webhook } of wanting) {
      await sql`
        insert into webhook_delivery (id, webhook_id, event_id, event, body)
        select ${randomUUID()}, id, ${id}::bigint, ${type}, ${body} from webhook where id = ${webhook} on conflict (webhook_id, event_id) do nothing`.execute(
        db,
      );
    }
    if (wanting.length > 0) delivering.wake();
  });
  delivering.start();

  async function find(id: string): Promise<Webhook & { sealed: Buffer | null }> {
    const { rows } = await sql<Webhook & { sealed: Buffer | null }>`select ${columns}, sealed from webhook where id = ${id}`.execute(db);
    if (rows[0] === undefined) throw noWebhook(id);
    return rows[0];
  }
  async function get(id: string): Promise<Webhook> {
    const { sealed: _, ...webhook } = await find(id);
    return webhook;
  }

  async function check({ name, url, events: wanted, description, secret }: WebhookChange): Promise<void> {
    if (name !== undefined && !/^(?=.{1,63}$)[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/i.test(name))
      throw invalidValue(
        `Webhook name '${name.slice(0, 100)}' is invalid. It must start and end with a letter or digit, be less than 63 characters long, and contain only letters, digits, dots (.), underscores (_), and hyphens (-).`,
      );
    for (const [what, value] of Object.entries({ url, description, secret })) {
      const limit = most[what as keyof typeof most];
      if (value !== undefined && value.length > limit) throw invalidValue(`A webhook's ${what} has at most ${limit} characters.`);
    }
    if (wanted !== undefined) checkEvents(wanted);
    if (url !== undefined) await checkUrl(url);
  }
  async function checkUrl(text: string): Promise<void> {
    if (!URL.canParse(text)) throw invalidValue(`Invalid webhook URL '${text.slice(0, 200)}': write one as https://example.com/hook.`);
    const { protocol, hostname } = new URL(text);
    const scheme = protocol.slice(0, -1);
    if (!settings.schemes.includes(scheme)) throw invalidValue(`Invalid webhook URL scheme: '${scheme}'. Allowed schemes are: ${settings.schemes.join(", ")}.`);
    const host = hostname.replace(/^\[|\]$/g, "");
    // It is looked at again when it is connected to; a name that leads nowhere yet may do so later.
    const addresses = isIP(host) === 0 ? await lookup(host, { all: true }).catch(() => []) : [{ address: host }];
    if (addresses.some(({ address }) => !reach.allows(address))) throw invalidValue(`Invalid webhook URL: ${notAllowed(host)}`);
  }

  return {
    async create({ name, url, description, events: wanted, secret, status = "ACTIVE" }) {
      await check({ name, url, description, events: wanted, secret });
      const id = randomUUID();
      await sql`
        insert into webhook (id, name, url, description, status, sealed, events, created_at, updated_at)
        values (${id}, ${name}, ${url}, ${description || null}, ${status}, ${await sealing.close(id, secret)}, ${[...new Set(wanted)]}::text[], ${clock.now()}, ${clock.now()})`.execute(
        db,
      );
      return get(id);
    },
    get,
    async list({ limit, token }) {
      if (token !== undefined && !/^[0-9]{1,15}$/.test(token)) throw invalidValue("Invalid page token: pass on the one of the last answer.");
      const { rows } = await sql<Webhook & { n: string }>`
        select ${columns}, n::text from webhook where ${token === undefined ? sql`true` : sql`n < ${token}::bigint`} order by n desc limit ${limit + 1}`.execute(
        db,
      );
      const last = rows.length > limit ? rows[limit - 1] : undefined;
      const items = rows.slice(0, limit).map(({ n: _, ...webhook }) => webhook);
      return { items, ...(last === undefined ? {} : { next: last.n }) };
    },
    async update(id, change) {
      await check(change);
      const { name, url, description, events: wanted, secret, status } = change;
      const sealed = await sealing.close(id, secret);
      await db.transaction().execute(async (transaction) => {
        const { rows } = await sql`
          update webhook set name = coalesce(${name ?? null}, name), url = coalesce(${url ?? null}, url), events = coalesce(${wanted ?? null}::text[], events),
            status = coalesce(${status ?? null}, status), updated_at = ${clock.now()},
            description = ${description === undefined ? sql`description` : description || null}, sealed = ${secret === undefined ? sql`sealed` : sealed}
          where id = ${id} returning id`.execute(transaction);
        if (rows.length === 0) throw noWebhook(id);
        if (status === "DISABLED") {
          await sql`
            update webhook_delivery set state = 'dropped', finished_at = clock_timestamp() where webhook_id = ${id} and state = 'pending'`.execute(transaction);
        }
      });
      return get(id);
    },
    async delete(id) {
      const { rows } = await sql`delete from webhook where id = ${id} returning id`.execute(db);
      if (rows.length === 0) throw noWebhook(id);
    },
    async test(id, event) {
      const { url, sealed, events: wanted } = await find(id);
      const type = event ?? wanted[0] ?? "";
      checkEvents([type]);
      return sendOne({ webhook: id, url, sealed, deliveryId: randomUUID(), body: bodyOf(type, clock.now(), examples[type] ?? {}) }, stopping.signal);
    },
    async deliveries(id, { limit, before }) {
      await get(id);
      const { rows } = await sql<DeliveryRow>`
        select id, n::text, event, state, attempts, due_at, created_at, finished_at from webhook_delivery
        where webhook_id = ${id} and ${before === undefined ? sql`true` : sql`n < ${before}`} order by n desc limit ${limit + 1}`.execute(db);
      const last = rows.length > limit ? rows[limit - 1] : undefined;
      return { items: rows.slice(0, limit).map(toDelivery), ...(last === undefined ? {} : { next: last.n }) };
    },
    async stop() {
      stopping.abort();
      await delivering.stop();
    },
  };
}

interface DeliveryRow {
  id: string;
  n: string;
  event: string;
  state: WebhookDelivery["state"];
  attempts: WebhookDelivery["attempts"];
  due_at: Date;
  created_at: Date;
  finished_at: Date | null;
}
function toDelivery(row: DeliveryRow): WebhookDelivery {
  return {
    id: row.id,
    event: row.event,
    state: row.state,
    attempts: row.attempts,
    nextAttemptAt: row.state === "pending" ? row.due_at.toISOString() : null,
    createdAt: row.created_at.toISOString(),
    finishedAt: row.finished_at?.toISOString() ?? null,
  };
}

/** As MLflow writes it, with the time as Python does. */
function bodyOf(type: string, at: Date, data: Record<string, unknown>): string {
  const [entity, action] = type.split(".");
  return JSON.stringify({ entity, action, timestamp: at.toISOString().replace("Z", "+00:00"), data });
}

function checkEvents(wanted: string[]): void {
  if (wanted.length === 0) throw invalidValue("Webhook events must be a non-empty list.");
  for (const one of wanted) {
    if (Object.hasOwn(examples, one)) continue;
    if (one === "budget_policy.exceeded") throw invalidValue("There is no gateway here, and so no budget: budget_policy.exceeded would never be told.");
    const [entity, action] = one.split(".");
    throw invalidValue(`Invalid action '${action}' for entity '${entity}'. There are: ${Object.keys(examples).join(", ")}.`);
  }
}
