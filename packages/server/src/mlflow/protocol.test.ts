import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import Fastify from "fastify";
import { expect, it } from "vitest";
import { openLog } from "../platform/log.js";
import { mlflowScope } from "./protocol.js";

it("sends away what would wait too long, with a word when to come again, and takes it when there is room", async () => {
  const app = Fastify().withTypeProvider<TypeBoxTypeProvider>();
  const waiting: (() => void)[] = [];
  mlflowScope(
    app,
    { log: openLog("silent") },
    ({ on }) => on("POST", "slow", "tracking:write", () => new Promise((resolve) => waiting.push(() => resolve({})))),
    { requests: 2, bytes: 1_000 },
  );
  const url = await app.listen({ host: "127.0.0.1", port: 0 });
  const ask = (text = "") =>
    fetch(`${url}/api/2.0/mlflow/slow`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ text }) });
  const first = ask();
  await expect.poll(() => waiting.length).toBe(1);
  // What is large is sent away when something waits already.
  expect((await ask("x".repeat(1_000))).status).toBe(503);
  const second = ask();
  await expect.poll(() => waiting.length).toBe(2);
  const third = await ask();
  expect([third.status, third.headers.get("retry-after"), await third.json()]).toEqual([
    503,
    "1",
    { error_code: "TEMPORARILY_UNAVAILABLE", message: "The server has more to do than it can at the moment. Send the request again." },
  ]);
  for (const go of waiting) go();
  expect([(await first).status, (await second).status]).toEqual([200, 200]);
  const large = ask("x".repeat(1_000));
  await expect.poll(() => waiting.length).toBe(3);
  waiting[2]?.();
  expect((await large).status).toBe(200);
  await app.close();
});
