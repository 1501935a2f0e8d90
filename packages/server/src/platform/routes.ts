/** The platform's own routes: is it there, what time is it, what happened, and how is it doing. */
import type { ServerResponse } from "node:http";
import { ClockAdvance, ClockState, Event, Page, PageQuery } from "@millrace/sdk/api";
import { Type } from "@sinclair/typebox";
import { version } from "./config.js";
import type { PlatformEvent } from "./events.js";
import type { Http } from "./http/types.js";
import { metricsContentType } from "./metrics.js";
import type { Platform } from "./types.js";

const types = Type.Optional(Type.String({ maxLength: 1_000, description: "Comma-separated; each may end in `.*`." }));
const heartbeatMs = 15_000;

export function platformRoutes(app: Http, platform: Platform): void {
  const { clock, events, metrics } = platform;
  const open = { config: { permission: "public" as const } };
  app.get("/health", { ...open, schema: { tags: ["platform"] } }, async (_request, reply) => reply.type("text/plain").send("OK"));
  app.get("/version", { ...open, schema: { tags: ["platform"] } }, async (_request, reply) => reply.type("text/plain").send(version));
  app.get("/metrics", { ...open, schema: { tags: ["platform"] } }, async (_request, reply) => reply.type(metricsContentType).send(await metrics.text()));
  app.get("/openapi.json", { ...open, schema: { tags: ["platform"] } }, async () => app.swagger());

  const state = () => ({ now: clock.now().toISOString(), kind: clock.kind });
  app.get("/api/v1/clock", { config: { permission: "clock:read" }, schema: { tags: ["clock"], response: { 200: ClockState } } }, async () => {
    await clock.refresh();
    return state();
  });
  app.post(
    "/api/v1/clock",
    { config: { permission: "clock:write" }, schema: { tags: ["clock"], body: ClockAdvance, response: { 200: ClockState } } },
    async ({ body }) => {
      await live(platform, new Date(body.to));
      return state();
    },
  );

  const Query = Type.Object({
    ...PageQuery.properties,
    types,
    newest: Type.Optional(Type.Boolean()),
    after: Type.Optional(Type.String({ pattern: "^[0-9]{1,18}$" })),
  });
  app.get(
    "/api/v1/events",
    { config: { permission: "events:read" }, schema: { tags: ["events"], querystring: Query, response: { 200: Page(Event) } } },
    async ({ query }) => {
      const limit = query.limit ?? 100;
      const found = await events.list({
        limit,
        ...(query.after === undefined ? {} : { after: query.after }),
        ...(query.types === undefined ? {} : { types: query.types.split(",") }),
        newestFirst: query.newest === true,
      });
      const last = found.at(-1);
      return { items: found.map(told), ...(last !== undefined && found.length === limit ? { next: last.id } : {}) };
    },
  );

  // They never end by themselves, and a server that stops would wait for them.
  const streams = new Set<ServerResponse>();
  app.addHook("preClose", async () => {
    for (const socket of streams) socket.end();
  });
  const Stream = Type.Object({ types, after: Type.Optional(Type.String({ pattern: "^[0-9]{1,18}$" })) });
  app.get(
    "/api/v1/events/stream",
    {
      config: { permission: "events:read" },
      schema: { tags: ["events"], querystring: Stream, description: "Server-sent events; goes on after `Last-Event-ID`." },
    },
    async (request, reply) => {
      const wanted = request.query.types?.split(",");
      const resumed = request.headers["last-event-id"];
      let after = typeof resumed === "string" && /^[0-9]{1,18}$/.test(resumed) ? resumed : request.query.after;
      after ??= (await events.list({ limit: 1, newestFirst: true }))[0]?.id ?? "0";
      reply.hijack();
      const socket = reply.raw;
      // Heartbeats are written all the time: who takes none is let go.
      request.raw.socket.setTimeout(4 * heartbeatMs);
      socket.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no" });
      socket.write(":\n\n");
      streams.add(socket);
      let sending = Promise.resolve();
      const send = () => {
        sending = sending.then(async () => {
          // Whoever does not read what was sent gets no more until then.
          while (!socket.destroyed && !socket.writableNeedDrain) {
            const found = await events.list({ after: after ?? "0", limit: 200, ...(wanted === undefined ? {} : { types: wanted }) });
            for (const event of found) socket.write(`id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(told(event))}\n\n`);
            after = found.at(-1)?.id ?? after;
            if (found.length < 200) return;
          }
        });
        sending.catch(() => socket.destroy());
      };
      const unwatch = events.watch(send);
      const heartbeat = setInterval(() => socket.destroyed || socket.write(":\n\n"), heartbeatMs);
      socket.on("drain", send);
      socket.on("close", () => {
        clearInterval(heartbeat);
        unwatch();
        streams.delete(socket);
      });
      send();
    },
  );
}

/**
 * Moves a replayed clock, and has all happen that follows: what is due by time, then what subscribers do about it, and that again
 * until nothing new comes of it.
 */
async function live({ clock, events, log }: Pick<Platform, "clock" | "events" | "log">, to: Date): Promise<void> {
  for (let round = 0; round < mostRounds; round++) {
    const before = await events.position();
    // Somebody else may have moved it on by now.
    await clock.advance(round === 0 ? to : clock.now());
    await events.settled();
    if (!(await events.wantedSince(before))) return;
  }
  log.warn({ to }, "a move of the clock made work again and again; the rest is done at the next");
}
const mostRounds = 10;

const told = (event: PlatformEvent) => ({ id: event.id, type: event.type, subject: event.subject, data: event.data, at: event.at.toISOString() });
