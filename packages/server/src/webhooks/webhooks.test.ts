import { createHmac } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import type { WebhookDelivery } from "@millrace/sdk/api";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openCluster } from "../platform/database/cluster.js";
import { openPlatform } from "../platform/open.js";
import { createSecrets } from "../secrets/index.js";
import { type RunningServer, startServer } from "../server.js";
import { mlflowApi, withMlflowClient } from "../tracking/testing.js";
import { createReach } from "./addresses.js";
import { createWebhooks } from "./index.js";
import { send } from "./send.js";

interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

let folder: string;
let server: RunningServer;
let receiver: Server;
let receiverUrl: string;
const received: Received[] = [];
const answers = new Map<string, (response: ServerResponse, nth: number) => void>();
const open = () => startServer({ host: "127.0.0.1", port: 0, dataDir: folder, clock: { kind: "system" }, logLevel: "error", webhooks });
const webhooks = { schemes: ["http", "https"], networks: ["127.0.0.1"], attempts: 3, retryMs: 20 };

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  receiver = createServer(async (request, response) => {
    const where = request.url ?? "";
    received.push({ path: where, headers: request.headers, body: await text(request) });
    const answer = answers.get(where);
    if (answer === undefined) response.end("heard");
    else answer(response, received.filter((one) => one.path === where).length);
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  const address = receiver.address();
  receiverUrl = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  server = await open();
});
afterAll(async () => {
  await server.stop();
  receiver.closeAllConnections();
  receiver.close();
  await rm(folder, { recursive: true, force: true });
});

const call = mlflowApi(() => server.url);
const created = [{ entity: "REGISTERED_MODEL", action: "CREATED" }];
const hook = async (where: string, more: Record<string, unknown> = {}) =>
  (await call("POST", "webhooks", { name: where.slice(1), url: receiverUrl + where, events: created, ...more })).body.text("webhook", "webhook_id");
const at = (where: string) => received.filter((one) => one.path === where);
const tell = (name: string) => call("POST", "registered-models/create", { name });
async function deliveries(id: string): Promise<WebhookDelivery[]> {
  const answer = (await (await fetch(`${server.url}/api/v1/webhooks/${id}/deliveries`)).json()) as { items: WebhookDelivery[] };
  return answer.items;
}
async function ended(id: string, count = 1): Promise<WebhookDelivery[]> {
  for (;;) {
    const all = await deliveries(id);
    if (all.filter(({ state }) => state !== "pending").length >= count) return all;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
/** Of the tables, as whoever reads the database or a copy of it. */
async function rowsOf(query: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const { url } = await (await openCluster(path.join(folder, "postgres"))).run();
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(query, values)).rows;
  } finally {
    await client.end();
  }
}

test("MLflow's own client makes, lists, changes, tests and deletes webhooks, and each event of the registry is told in its words", async () => {
  const script = `
import json
from mlflow import MlflowClient
import mlflow
from mlflow.entities.webhook import WebhookEvent, WebhookStatus
from mlflow.exceptions import MlflowException
client = MlflowClient()
names = ["registered_model.created", "model_version.created", "model_version_tag.set", "model_version_tag.deleted", "model_version_alias.created",
  "model_version_alias.deleted", "prompt.created", "prompt_version.created", "prompt_tag.set", "prompt_tag.deleted", "prompt_version_tag.set",
  "prompt_version_tag.deleted", "prompt_alias.created", "prompt_alias.deleted"]
hook = client.create_webhook(name="all", url="${receiverUrl}/all", events=names, secret="s3cret", description="everything")
spare = client.create_webhook(name="spare", url="${receiverUrl}/spare", events=["model_version.created"], status=WebhookStatus.DISABLED)
page = client.list_webhooks(max_results=1)
rest = client.list_webhooks(max_results=1, page_token=page.token)
out = {"listed": [w.name for w in [*page, *rest]], "more": bool(rest.token), "secret": hook.secret, "status": str(spare.status)}
tested = client.test_webhook(hook.webhook_id)
out["tested"] = [tested.success, tested.response_status, tested.response_body]
changed = client.update_webhook(spare.webhook_id, name="other", events=["model_version.created"], description="two")
out["changed"] = [changed.name, changed.description, client.get_webhook(spare.webhook_id).name]
client.delete_webhook(spare.webhook_id)
try:
    client.get_webhook(spare.webhook_id)
except MlflowException as e:
    out["gone"] = e.error_code

client.create_registered_model("delay", tags={"team": "air"}, description="late or not")
version = client.create_model_version("delay", "s3://elsewhere/model", run_id=None, tags={"a": "b"})
client.set_model_version_tag("delay", version.version, "checked", "yes")
client.delete_model_version_tag("delay", version.version, "checked")
client.set_registered_model_alias("delay", "champion", version.version)
client.delete_registered_model_alias("delay", "champion")
mlflow.genai.register_prompt(name="greet", template="Hello {{name}}!", tags={"lang": "en"})
client.set_prompt_tag("greet", "k", "v")
client.delete_prompt_tag("greet", "k")
client.set_prompt_version_tag("greet", "1", "k", "v")
client.delete_prompt_version_tag("greet", "1", "k")
client.set_prompt_alias("greet", "live", 1)
client.delete_prompt_alias("greet", "live")
out["id"] = hook.webhook_id
print(json.dumps(out))
`;
  const out = (await withMlflowClient(server.url, script)) as { id: string };
  expect(out).toMatchObject({
    ...{ listed: ["spare", "all"], more: false, secret: null, status: "DISABLED", tested: [true, 200, "heard"] },
    ...{ changed: ["other", "two", "other"], gone: "RESOURCE_DOES_NOT_EXIST" },
  });
  let told = await ended(out.id, 14);
  while (!told.some(({ event, state }) => event === "prompt_alias.deleted" && state === "delivered")) told = await ended(out.id, 14);
  expect(told.every(({ state, attempts }) => state === "delivered" && attempts.length === 1 && attempts[0]?.status === 200)).toBe(true);

  const bodies = at("/all").map(({ body }) => JSON.parse(body) as { entity: string; action: string; timestamp: string; data: Record<string, unknown> });
  const [example, ...real] = bodies;
  expect(example).toMatchObject({ entity: "registered_model", action: "created", data: { name: "example_model" } });
  const by = new Map(real.map(({ entity, action, data }) => [`${entity}.${action}`, data]));
  expect(by.get("registered_model.created")).toEqual({ name: "delay", tags: { team: "air" }, description: "late or not" });
  expect(by.get("model_version.created")).toEqual({
    ...{ name: "delay", version: "1", source: "s3://elsewhere/model", run_id: null, tags: { a: "b" }, description: null },
  });
  expect(by.get("model_version_tag.set")).toEqual({ name: "delay", version: "1", key: "checked", value: "yes" });
  expect(by.get("model_version_tag.deleted")).toEqual({ name: "delay", version: "1", key: "checked" });
  expect(by.get("model_version_alias.created")).toEqual({ name: "delay", alias: "champion", version: "1" });
  expect(by.get("model_version_alias.deleted")).toEqual({ name: "delay", alias: "champion" });
  expect(by.get("prompt.created")).toMatchObject({ name: "greet" });
  expect(by.get("prompt_version.created")).toMatchObject({ name: "greet", version: "1", template: "Hello {{name}}!", tags: { lang: "en" } });
  // The client itself sets another tag.
  expect(real.map(({ data }) => data)).toContainEqual({ name: "greet", key: "k", value: "v" });
  expect(by.get("prompt_version_tag.deleted")).toEqual({ name: "greet", version: "1", key: "k" });
  expect(by.get("prompt_alias.created")).toEqual({ name: "greet", alias: "live", version: "1" });
  expect(by.size).toBe(14);
  expect(real[0]?.timestamp).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+\+00:00$/);

  for (const { headers, body } of at("/all")) {
    const [id, moment] = [headers["x-mlflow-delivery-id"], headers["x-mlflow-timestamp"]];
    expect(headers["x-mlflow-signature"]).toBe(`v1,${createHmac("sha256", "s3cret").update(`${id}.${moment}.${body}`).digest("base64")}`);
  }
  expect(at("/spare")).toEqual([]);
});

test("a receiver that fails is asked again with the same id, later each time, and given up in the end", async () => {
  answers.set("/flaky", (response, nth) => response.writeHead(nth < 3 ? 503 : 200).end());
  answers.set("/down", (response) => response.writeHead(500).end());
  answers.set("/refusing", (response) => response.writeHead(404).end());
  answers.set("/moved", (response) => response.writeHead(302, { location: `${receiverUrl}/all` }).end());
  const [flaky, down, refusing, moved] = [await hook("/flaky"), await hook("/down"), await hook("/refusing"), await hook("/moved")];
  const before = at("/all").length;
  await tell("retried");
  const [of] = await ended(flaky);
  expect(of).toMatchObject({ state: "delivered", nextAttemptAt: null });
  expect(of?.attempts.map(({ attempt, status }) => [attempt, status])).toEqual([
    [1, 503],
    [2, 503],
    [3, 200],
  ]);
  expect(new Set(at("/flaky").map(({ headers }) => headers["x-mlflow-delivery-id"]))).toEqual(new Set([of?.id]));
  expect(at("/flaky").every(({ headers }) => headers["x-mlflow-signature"] === undefined)).toBe(true);
  expect((await ended(down))[0]).toMatchObject({ state: "failed", attempts: [{}, {}, { error: "It answered 500." }] });
  expect((await ended(refusing))[0]).toMatchObject({ state: "failed", attempts: [{ status: 404 }] });
  expect((await ended(moved))[0]).toMatchObject({ state: "failed", attempts: [{ status: 302, error: expect.stringContaining("redirects are not followed") }] });
  // The hook of the test before heard of the model too, once.
  expect(at("/all").length - before).toBe(1);
  for (const id of [flaky, down, refusing, moved]) await call("DELETE", `webhooks/${id}`);
});

test("what was acknowledged while no receiver could be reached is told after the next start; a disabled webhook gets nothing more", async () => {
  answers.set("/slow", () => {});
  const [slow, disabled] = [await hook("/slow"), await hook("/slow", { name: "disabled" })];
  await tell("before the stop");
  while (at("/slow").length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
  expect((await call("PATCH", `webhooks/${disabled}`, { status: "DISABLED" })).status).toBe(200);
  await server.stop();
  answers.delete("/slow");
  server = await open();
  expect((await ended(slow))[0]).toMatchObject({ state: "delivered", attempts: [{ attempt: 1, status: 200 }] });
  expect((await ended(disabled))[0]).toMatchObject({ state: "dropped" });
  await tell("after the start");
  await ended(slow, 2);
  expect(await deliveries(disabled)).toHaveLength(1);
  expect(at("/slow")).toHaveLength(4);
});

test("a secret is kept encrypted, also one that was kept as plain text before, and signs all the same", async () => {
  const signed = ({ headers, body }: Received, secret: string) =>
    headers["x-mlflow-signature"] ===
    `v1,${createHmac("sha256", secret).update(`${headers["x-mlflow-delivery-id"]}.${headers["x-mlflow-timestamp"]}.${body}`).digest("base64")}`;
  const [kept, plain, none] = [await hook("/kept", { secret: "first-secret" }), await hook("/plain", { secret: "anything" }), await hook("/none")];
  const stored = await rowsOf("select * from webhook");
  expect(JSON.stringify(stored.map(({ sealed }) => String(sealed)))).not.toContain("first-secret");
  expect(stored.every(({ secret }) => secret === null)).toBe(true);
  // As it was before there was encryption.
  await rowsOf("update webhook set secret = 'old-secret', sealed = null where id = $1", [plain]);
  await server.stop();
  server = await open();
  expect(await rowsOf("select id from webhook where secret is not null")).toEqual([]);
  await call("PATCH", `webhooks/${kept}`, { secret: "second-secret" });
  await tell("sealed");
  for (const id of [kept, plain, none]) expect((await ended(id))[0]?.state).toBe("delivered");
  expect(at("/kept").map((one) => signed(one, "second-secret"))).toEqual([true]);
  expect(at("/plain").map((one) => signed(one, "old-secret"))).toEqual([true]);
  expect(at("/none")[0]?.headers["x-mlflow-signature"]).toBeUndefined();
  // Another one's secret in its place opens nothing: it is not told unsigned or signed by the wrong one.
  await rowsOf("update webhook set sealed = (select sealed from webhook where id = $1) where id = $2", [kept, plain]);
  await tell("moved");
  expect((await ended(plain, 2))[0]).toMatchObject({ state: "failed", attempts: [{ error: expect.stringContaining("another key") }, {}, {}] });
  expect(at("/plain")).toHaveLength(1);
  expect((await call("POST", `webhooks/${plain}/test`)).body.text("result", "error_message")).toContain("another key");
  for (const id of [kept, plain, none]) await call("DELETE", `webhooks/${id}`);
});

test("two servers on one database tell each event once", async () => {
  const id = await hook("/shared");
  const { url } = await (await openCluster(path.join(folder, "postgres"))).run();
  // Of the second server only what tells of events: one process runs pipelines once.
  const config = { host: "127.0.0.1", port: 0, dataDir: path.join(folder, "other"), databaseUrl: url, clock: { kind: "system" as const }, logLevel: "error" };
  const { platform, close } = await openPlatform({ ...config, webhooks });
  const other = await createWebhooks(platform, { secrets: createSecrets(platform) });
  await platform.events.start();
  try {
    for (let n = 0; n < 20; n++) await tell(`shared ${n}`);
    const all = await ended(id, 20);
    expect(all).toHaveLength(20);
    expect(new Set(at("/shared").map(({ headers }) => headers["x-mlflow-delivery-id"])).size).toBe(20);
    expect(at("/shared")).toHaveLength(20);
  } finally {
    await other.stop();
    await close();
  }
});

test("addresses that are not public and not allowed, other schemes, names and events that are none are refused", async () => {
  const make = async (more: Record<string, unknown>) => {
    const { status, body } = await call("POST", "webhooks", { name: "one", url: "https://1.1.1.1/x", events: created, ...more });
    return [status, body.text("error_code"), body.text("message")];
  };
  for (const url of [
    ...["http://[::1]/x", "http://10.0.0.1/", "http://169.254.169.254/latest", "http://0x7f.2/", "http://[::ffff:10.0.0.1]/", "http://[fd00::1]/"],
    ...["http://[64:ff9b::7f00:2]/", "http://127.0.0.2/"],
  ]) {
    expect((await make({ url })).slice(0, 2), url).toEqual([400, "INVALID_PARAMETER_VALUE"]);
  }
  for (const more of [
    { url: "ftp://example.com" },
    { url: "nothing" },
    { name: "no spaces" },
    { name: "" },
    { events: [] },
    { events: [{ entity: "REGISTERED_MODEL", action: "DELETED" }] },
    { events: [{ entity: "BUDGET_POLICY", action: "EXCEEDED" }] },
    { status: "ASLEEP" },
  ]) {
    expect((await make(more)).slice(0, 2), JSON.stringify(more)).toEqual([400, "INVALID_PARAMETER_VALUE"]);
  }
  expect((await call("GET", "webhooks/none")).status).toBe(404);
  expect((await call("GET", "webhooks", { max_results: 0 })).status).toBe(400);
});

test("a name that leads to an address inside is found out when it is connected to, not only when the webhook is made", async () => {
  const sent = await send(
    { url: receiverUrl.replace("127.0.0.1", "localhost"), secret: null, deliveryId: "1", body: "{}" },
    { reach: createReach(["10.0.0.0/8"]), timeoutMs: 5_000, stop: new AbortController().signal },
  );
  expect(sent).toMatchObject({ again: false, error: expect.stringContaining("is no public address") });
});
