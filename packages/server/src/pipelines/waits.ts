/** Steps that wait without taking room: for a person's answer, or for an event; and for no longer than they may. */
import type { Approval } from "@millrace/sdk/api";
import { conflict, notFound, type Platform } from "../platform/index.js";
import { jsonArtifact } from "./artifacts.js";
import type { Asks } from "./rows.js";
import type { Answer, Scheduler } from "./scheduler.js";
import type { PipelineStore } from "./store.js";

export interface Waits {
  /** Whether something that is waited for has come, or does not come any more. */
  look(): Promise<void>;
  answer(run: string, step: string, approval: Approval, by: string): Promise<void>;
  /** Who may answer. Throws a 404 or 409 where there is nothing to be answered. */
  asked(run: string, step: string): Promise<Extract<Asks, { kind: "approval" }>>;
}

export function openWaits(platform: Pick<Platform, "events" | "clock" | "objects">, store: PipelineStore, scheduler: Pick<Scheduler, "answer">): Waits {
  const { events, clock, objects } = platform;
  let looking: Promise<void> | undefined;

  async function lookOnce(): Promise<void> {
    for (const { run, id, asks, asks_until } of await store.asking()) {
      if (asks?.kind === "event") {
        const event = await comes(asks);
        if (event !== undefined) {
          await scheduler.answer(
            run,
            await given(run, id, "event", { type: event.type, subject: event.subject, data: event.data, at: event.at.toISOString() }),
          );
          continue;
        }
      }
      if (asks_until === null || asks_until > clock.now()) continue;
      const awaited = asks?.kind === "event" ? `the event ${asks.type}` : "an answer";
      await scheduler.answer(run, { id, state: "failed", outputs: {}, error: `It waited for ${awaited} until ${asks_until.toISOString()}, and none came.` });
    }
  }
  async function comes({ type, subject, after }: Extract<Asks, { kind: "event" }>) {
    for (let from = after; ; ) {
      const page = await events.list({ after: from, limit: 200, types: [type] });
      const found = page.find((event) => subject === undefined || event.subject === subject);
      const last = page.at(-1);
      if (found !== undefined || last === undefined || page.length < 200) return found;
      from = last.id;
    }
  }
  async function given(run: string, id: string, fallback: string, value: unknown): Promise<Answer> {
    const step = await store.step(run, id);
    const declared = (await store.run(run))?.spec;
    const name = declared === undefined || step === undefined ? fallback : (outputName(declared.nodes, step.node) ?? fallback);
    return { id, state: "succeeded", outputs: { [name]: await jsonArtifact({ objects }, name, value) }, error: null };
  }

  async function asked(run: string, step: string) {
    const found = await store.step(run, step);
    if (found === undefined) throw (await store.run(run)) === undefined ? notFound("run", run) : notFound("step", step);
    if (found.asks?.kind !== "approval") throw conflict(`The step "${step}" asks for no approval.`);
    if (found.state !== "asking")
      throw conflict(`The step "${step}" does not wait for an answer ${found.state === "waiting" ? "yet" : "any more"}: it is ${found.state}.`);
    return found.asks;
  }

  return {
    async look() {
      looking ??= lookOnce().finally(() => {
        looking = undefined;
      });
      return looking;
    },
    asked,
    async answer(run, step, { approved, comment }, by) {
      await asked(run, step);
      const decision = { approved, by, at: clock.now().toISOString(), comment: comment ?? null };
      const answer = await given(run, step, "decision", decision);
      const told = approved
        ? answer
        : { ...answer, state: "refused" as const, error: `${by} said no to "${step}"${comment === undefined ? "." : `: ${comment}`}` };
      if (!(await scheduler.answer(run, told))) throw conflict(`The step "${step}" was answered by another, or its run is over.`);
    },
  };
}

function outputName(nodes: readonly { id: string; kind: string; outputs: { name: string }[]; config: object }[], id: string): string | undefined {
  for (const node of nodes) {
    if (node.id === id) return node.outputs[0]?.name;
    const body = "body" in node.config && Array.isArray(node.config.body) ? node.config.body : [];
    const within = outputName(body, id);
    if (within !== undefined) return within;
  }
  return undefined;
}
