/** Promotions: what is asked to come into an environment, looked at by its gates, waited for, and deployed; each thing that is decided is kept. */
import { createHash } from "node:crypto";
import type { Promotion, PromotionDetail, PromotionStart, PromotionState, RollbackStart } from "@millrace/sdk/api";
import type { EnvironmentSpec } from "@millrace/sdk/spec";
import type { Transaction } from "kysely";
import type { Pipelines } from "../pipelines/index.js";
import { ApiError, conflict, invalid, newId, notFound, openKeeper, orNone, type Platform, type Principal, shownMoment } from "../platform/index.js";
import type { Registry } from "../registry/index.js";
import type { Deploy } from "./deploy.js";
import { closedAt, type Environments } from "./environments.js";
import type { Candidate, JudgeGate } from "./gates/index.js";
import {
  type Answer,
  addDecision,
  answersTo,
  decisionsOf,
  findPromotion,
  heldAt,
  heldBefore,
  insertPromotion,
  listPromotions,
  lockPlace,
  moveOn,
  type NewDecision,
  note,
  openAt,
  openPromotions,
  type Place,
  type PromotionRow,
  type Subject,
  setBegan,
  toPromotion,
  wasAt,
} from "./promotion-store.js";
import type { Releases } from "./releases.js";
import type { Remote } from "./remote.js";

/** Who does what nobody asked for. */
export const platformName = "millrace";
const notOver = ["checking", "waiting"] as const;

export interface Promotions {
  start(start: PromotionStart, by: string): Promise<Promotion>;
  /**
   * What a repository or another promotion asks for. `cause` says what for: asked again for the same, nothing is started. Does nothing where the environment
   * holds it, or is asked for it.
   */
  follow(subject: Subject & { project: string; environment: string }, cause: string, reason: string): Promise<void>;
  list(query: {
    project?: string;
    environment?: string;
    state?: PromotionState | "open";
    limit?: number;
    after?: string;
  }): Promise<{ items: Promotion[]; next?: string }>;
  get(id: string): Promise<PromotionDetail>;
  /** What people answered to promotions of a model's version. */
  answersTo(model: string, version: number): Promise<Answer[]>;
  answer(id: string, answer: "approve" | "reject", by: Principal, comment: string | undefined): Promise<Promotion>;
  cancel(id: string, by: string, comment: string | undefined): Promise<Promotion>;
  rollback(project: string, environment: string, start: RollbackStart, by: string): Promise<Promotion>;
  launch(): void;
  stop(): Promise<void>;
}

export function createPromotions(
  platform: Pick<Platform, "db" | "locks" | "events" | "clock" | "log">,
  on: {
    environments: Environments;
    releases: Releases;
    registry: Registry;
    pipelines: Pick<Pipelines, "get">;
    judge: JudgeGate;
    deploy: Deploy;
    remote: Remote;
  },
): Promotions {
  const { db, events, clock } = platform;
  const stopping = new AbortController();
  const keeper = openKeeper(platform, "promotion", () => openPromotions(db), work);
  clock.onTick("promotions", async () => keeper.wake());
  events.subscribe("promotions", ["promotion.deployed"], ({ subject }) => askNext(subject));

  // ------------------------------------------------------------------------------------------------- what is asked for

  async function subjectOf({ release, model, version, project }: PromotionStart): Promise<Subject & { project: string }> {
    if (release !== undefined && model === undefined && version === undefined) {
      const found = await on.releases.release(release);
      if (project !== undefined && project !== found.project) throw invalid(`The release is of the project "${found.project}", not of "${project}".`);
      return { project: found.project, kind: "release", name: found.project, release: found.digest, version: null, content: found.digest };
    }
    if (release !== undefined || model === undefined || version === undefined) throw invalid("Say what is promoted: a release, or a model with a version.");
    const { digest: content } = await on.registry.registered(model, version);
    const [of, another] = project === undefined ? await on.environments.projectsOf(model) : [project];
    if (of === undefined) throw invalid(`No endpoint of a project has the model "${model}": say with \`project\` whose environment is meant.`);
    if (another !== undefined)
      throw invalid(`Endpoints of "${of}" and "${another}" have the model "${model}": say with \`project\` whose environment is meant.`);
    return { project: of, kind: "model", name: model, release: null, version, content };
  }
  /** Whoever made it, and whoever asks for it. */
  async function authorsOf({ kind, name, release, version }: Subject, by: string): Promise<string[]> {
    const authors = [by];
    if (kind === "release") authors.push(...(await on.releases.release(release ?? "")).authors);
    else {
      const { runId } = await on.registry.version(name, version ?? 0);
      const run = runId === null ? undefined : await orNone(on.pipelines.get(runId));
      if (run?.cause.by !== undefined) authors.push(run.cause.by);
    }
    return [...new Set(authors)].filter((one) => one !== platformName);
  }

  async function ask(
    transaction: Transaction<unknown>,
    place: Place,
    subject: Subject,
    more: Pick<PromotionRow, "id" | "authors" | "requested_by" | "reason" | "rollback">,
  ): Promise<void> {
    await lockPlace(transaction, place);
    const now = clock.now();
    const state = more.rollback ? "waiting" : "checking";
    const row = { ...place, ...subject, ...more, state, message: null, requested_at: now } as const;
    if (!(await insertPromotion(transaction, row))) return;
    for (const older of await openAt(transaction, place)) {
      if (older.id !== more.id)
        await end(transaction, older, "superseded", { by: more.requested_by, message: `${wordsOf(subject)} is to come in its place.` }, notOver);
    }
    const message = `${more.rollback ? "Back to " : ""}${wordsOf(subject)} for ${place.environment}${more.reason === null ? "" : `: ${more.reason}`}`;
    await addDecision(transaction, more.id, now, { by: more.requested_by, kind: "requested", message });
    await tell(transaction, "requested", row, more.requested_by, message);
  }

  async function start(asked: PromotionStart, by: string): Promise<Promotion> {
    const subject = await subjectOf(asked);
    const { name: environment } = await on.environments.require(subject.project, asked.environment);
    const place: Place = { project: subject.project, environment, kind: subject.kind, name: subject.name };
    const [held, open, authors] = await Promise.all([heldAt(db, place), openAt(db, place), authorsOf(subject, by)]);
    if (held !== undefined && isSame(held, subject)) throw conflict(`${environment} holds ${wordsOf(subject)} already.`);
    const known = open.find((one) => isSame(one, subject));
    if (known !== undefined) return toPromotion(known);
    const id = newId();
    await db
      .transaction()
      .execute((transaction) => ask(transaction, place, subject, { id, authors, requested_by: by, reason: asked.reason ?? null, rollback: false }));
    keeper.wake();
    return toPromotion(await require(id));
  }

  const follow: Promotions["follow"] = async ({ project, environment, ...subject }, cause, reason) => {
    const place: Place = { project, environment, kind: subject.kind, name: subject.name };
    const [held, open, authors] = await Promise.all([heldAt(db, place), openAt(db, place), authorsOf(subject, platformName)]);
    if ((held !== undefined && isSame(held, subject)) || open.some((one) => isSame(one, subject))) return;
    const id = createHash("sha256").update(`promotion ${project} ${environment} ${cause}`).digest("hex").slice(0, 32);
    await db.transaction().execute((transaction) => ask(transaction, place, subject, { id, authors, requested_by: platformName, reason, rollback: false }));
    keeper.wake();
  };

  /** Environments that follow where all that they are after hold the same. */
  async function askNext(id: string): Promise<void> {
    const row = await findPromotion(db, id);
    if (row === undefined || row.rollback) return;
    for (const spec of await on.environments.of(row.project)) {
      if (spec.on !== "deployed" || !spec.after.includes(row.environment)) continue;
      const holds = await Promise.all(spec.after.map((environment) => heldAt(db, { ...placeOf(row), environment })));
      if (!holds.every((held) => held !== undefined && isSame(held, row))) continue;
      const { project, kind, name, release, version, content } = row;
      await follow(
        { project, environment: spec.name, kind, name, release, version, content },
        id,
        `${spec.after.join(", ")} ${spec.after.length === 1 ? "holds" : "hold"} it`,
      );
    }
  }

  // -------------------------------------------------------------------------------------------------- how it goes on

  async function work(id: string): Promise<void> {
    for (let before: PromotionState | undefined; ; ) {
      const row = await findPromotion(db, id);
      // Each state once: what it waits for is looked at again later.
      if (row === undefined || row.state === before) return;
      before = row.state;
      const environment = (await on.environments.of(row.project)).find((spec) => spec.name === row.environment);
      if (environment === undefined) {
        await finish(row, "failed", { by: platformName, message: `The project "${row.project}" has no environment "${row.environment}" any more.` });
        return;
      }
      if (row.state === "checking") await check(row, environment);
      else if (row.state === "waiting") await wait(row, environment);
      else if (row.state === "deploying") await bring(row, environment);
      else return;
    }
  }

  /** Throws a 404 where it is gone, or another one by now. */
  async function candidateOf({ kind, name, release, version, content }: PromotionRow): Promise<Candidate> {
    if (kind === "release") return { kind, release: await on.releases.release(release ?? "") };
    const found = await on.registry.version(name, version ?? 0);
    if (found.digest !== content) throw notFound("version any more that was asked for as", `${name}/${version}`);
    return { kind, version: found, signatures: await on.releases.modelSignatures(name, version ?? 0) };
  }

  async function check(row: PromotionRow, environment: EnvironmentSpec): Promise<void> {
    const decide = (decision: NewDecision) => db.transaction().execute((transaction) => addDecision(transaction, row.id, clock.now(), decision));
    const no: string[] = [];
    for (const name of environment.after) {
      // What is on its way there is waited for.
      if ((await openAt(db, { ...placeOf(row), environment: name })).some((one) => isSame(one, row))) return;
    }
    for (const name of environment.after) {
      const there = await wasAt(db, { ...placeOf(row), environment: name }, row);
      const passed = there !== undefined;
      const message = passed
        ? `It came to ${name} at ${shownMoment(there.finished_at ?? there.requested_at)}.`
        : `It was never in ${name}, which comes before ${row.environment}.`;
      await decide({ by: platformName, kind: "gate", gate: `was in ${name}`, passed, message });
      if (!passed) no.push(message);
    }
    // What has not been where it should be first is asked nothing more.
    if (no.length === 0) {
      const candidate = await orNone(candidateOf(row));
      if (candidate === undefined) no.push("It is not there any more.");
      for (const gate of candidate === undefined ? [] : environment.gates) {
        const verdict = candidate === undefined ? undefined : await on.judge(gate, candidate, stopping.signal);
        if (verdict === undefined) continue;
        const { passed, message, evidence, blocks } = verdict;
        await decide({ by: platformName, kind: "gate", gate: verdict.gate, passed, message: passed || blocks ? message : `A warning: ${message}`, evidence });
        if (!passed && blocks) no.push(`${verdict.gate}: ${message}`);
        if ((await findPromotion(db, row.id))?.state !== "checking") return;
      }
    }
    if (no.length > 0) return finish(row, "refused", { by: platformName, message: no.join(" ") });
    await db.transaction().execute((transaction) => moveOn(transaction, row.id, ["checking"], "waiting", null, null));
  }

  async function wait(row: PromotionRow, environment: EnvironmentSpec): Promise<void> {
    const busy = (await openAt(db, placeOf(row))).find((one) => one.state === "deploying");
    if (busy !== undefined) return note(db, row.id, `It waits until ${wordsOf(busy)} has come or gone.`);
    const told: string[] = [];
    // What goes back was let in before, and nothing holds it up.
    if (!row.rollback) {
      const needed = environment.approvals?.count ?? 0;
      const given = row.approved_by;
      if (given.length < needed) return note(db, row.id, `It waits for approvals${whose(environment)}: ${given.length} of ${needed} are there.`);
      if (needed > 0) told.push(`${given.join(", ")} approved it`);
      const closed = closedAt(environment, clock.now());
      if (closed !== undefined) return note(db, row.id, closed);
      if (environment.windows.length > 0) told.push("a window is open");
    }
    const message = row.rollback ? "What goes back is held up by nothing." : told.length === 0 ? "Nothing is to be waited for." : `${told.join("; ")}.`;
    await db.transaction().execute(async (transaction) => {
      await lockPlace(transaction, placeOf(row));
      if ((await openAt(transaction, placeOf(row))).some((one) => one.state === "deploying")) return;
      if (!(await moveOn(transaction, row.id, ["waiting"], "deploying", null, null))) return;
      await addDecision(transaction, row.id, clock.now(), { by: platformName, kind: "released", message });
    });
  }

  async function bring(row: PromotionRow, environment: EnvironmentSpec): Promise<void> {
    try {
      const { done, message } = await brought(row, environment);
      if (done) await finish(row, "deployed", { by: platformName, message });
      else await note(db, row.id, message);
    } catch (error) {
      // What is ours may pass: it is tried again.
      if (!(error instanceof ApiError) || error.status >= 500) throw error;
      await finish(row, "failed", { by: platformName, message: error.message });
    }
  }
  async function brought(row: PromotionRow, environment: EnvironmentSpec): Promise<{ done: boolean; message: string }> {
    const candidate = await candidateOf(row);
    const { server, name } = environment;
    if (server !== undefined) {
      const reason = `${row.requested_by} promoted it to ${name}${row.reason === null ? "" : `: ${row.reason}`}`.slice(0, 2_000);
      const { message } =
        candidate.kind === "release"
          ? await on.remote.release(server, candidate.release, reason)
          : await on.remote.model(server, candidate.version, candidate.signatures, row.rollback);
      return { done: true, message: `${server.url} says: ${message}` };
    }
    const serves = (await on.environments.serving(row.project))?.name === name;
    if (candidate.kind === "release") {
      if (!serves) return { done: true, message: `${name} is an environment of this server that serves nothing: it is noted as there.` };
      return on.deploy.release(candidate.release, row.requested_by, row.reason ?? undefined);
    }
    const { model, version } = candidate.version;
    if (serves) {
      const reason = `It was promoted to ${name}${row.reason === null ? "." : `: ${row.reason}`}`.slice(0, 1_000);
      const answer = await on.deploy.model(model, version, { atOnce: row.rollback, since: row.began_at ?? undefined, by: row.requested_by, reason });
      if (!answer.done) {
        if (row.began_at === null) await setBegan(db, row.id, clock.now());
        return answer;
      }
      await on.registry.setAlias(model, name, version);
      return answer;
    }
    await on.registry.setAlias(model, name, version);
    return { done: true, message: `It has the alias ${name}.` };
  }

  // --------------------------------------------------------------------------------------------------- who says what

  async function require(id: string): Promise<PromotionRow> {
    const row = await findPromotion(db, id);
    if (row === undefined) throw notFound("promotion", id);
    return row;
  }
  /** Throws a 409 where it is over, a 403 where this is nobody who may say so. */
  async function mayAnswer(row: PromotionRow, { name, role }: Principal): Promise<EnvironmentSpec> {
    if (row.state !== "checking" && row.state !== "waiting") throw conflict(`The promotion is ${row.state}: there is nothing to say yes or no to any more.`);
    const environment = await on.environments.require(row.project, row.environment);
    const by = environment.approvals?.by;
    if (by !== undefined && !by.includes(name) && !by.includes(`role:${role}`))
      throw new ApiError(403, "FORBIDDEN", `"${name}" is none of those whose yes ${environment.name} takes: ${by.join(", ")}.`);
    return environment;
  }

  async function answer(id: string, what: "approve" | "reject", by: Principal, comment: string | undefined): Promise<Promotion> {
    const row = await require(id);
    const environment = await mayAnswer(row, by);
    if (what === "reject") {
      await finish(row, "refused", { by: by.name, kind: "rejected", message: `${by.name} said no${comment === undefined ? "." : `: ${comment}`}` });
      return toPromotion(await require(id));
    }
    if ((environment.approvals?.count ?? 0) === 0) throw conflict(`${environment.name} asks for nobody's yes.`);
    if (row.rollback) throw conflict("What goes back to an earlier version asks for nobody's yes.");
    if (row.authors.some((author) => isPerson(author, by.name))) {
      const alone = by.name === "local" ? " This server knows no users, so that whoever uses it is one: add users with `millrace user add`." : "";
      throw new ApiError(403, "FORBIDDEN", `"${by.name}" is an author of what is promoted, or asked for it: somebody else has to look at it.${alone}`);
    }
    await db.transaction().execute(async (transaction) => {
      await lockPlace(transaction, placeOf(row));
      const now = await findPromotion(transaction, id);
      if (now === undefined || (now.state !== "checking" && now.state !== "waiting") || now.approved_by.includes(by.name)) return;
      const message = comment ?? "";
      await addDecision(transaction, id, clock.now(), {
        by: by.name,
        kind: "approved",
        message: `As ${by.role ?? "a token"}${message === "" ? "." : `: ${message}`}`,
      });
      await tell(transaction, "approved", row, by.name, message);
    });
    keeper.wake();
    return toPromotion(await require(id));
  }

  async function rollback(project: string, name: string, { model, reason }: RollbackStart, by: string): Promise<Promotion> {
    const environment = (await on.environments.require(project, name)).name;
    const place: Place = model === undefined ? { project, environment, kind: "release", name: project } : { project, environment, kind: "model", name: model };
    // What is still coming goes back by not coming.
    const coming = (await openAt(db, place)).find(({ state }) => state === "deploying");
    if (coming?.kind === "model" && (await on.deploy.stop(coming.name, coming.version ?? 0, by, reason))) {
      keeper.wake();
      return toPromotion(await require(coming.id));
    }
    const held = await heldAt(db, place);
    if (held === undefined) throw conflict(`${environment} holds ${model === undefined ? `no release of "${project}"` : `no version of "${model}"`}.`);
    const before = await heldBefore(db, place, held);
    if (before === undefined) throw conflict(`Nothing was in ${environment} before ${wordsOf(held)}.`);
    const id = newId();
    const authors = await authorsOf(before, by);
    await db.transaction().execute((transaction) => ask(transaction, place, before, { id, authors, requested_by: by, reason, rollback: true }));
    keeper.wake();
    return toPromotion(await require(id));
  }

  // ------------------------------------------------------------------------------------------------ what is kept of it

  async function finish(row: PromotionRow, state: Ending, decision: Omit<NewDecision, "kind"> & { kind?: NewDecision["kind"] }): Promise<void> {
    await db.transaction().execute((transaction) => end(transaction, row, state, decision, [row.state]));
    keeper.wake();
  }
  async function end(
    transaction: Transaction<unknown>,
    row: PromotionRow,
    state: Ending,
    { kind = state, ...decision }: Omit<NewDecision, "kind"> & { kind?: NewDecision["kind"] },
    from: readonly PromotionState[],
  ): Promise<boolean> {
    const now = clock.now();
    if (!(await moveOn(transaction, row.id, from, state, decision.message, now))) return false;
    await addDecision(transaction, row.id, now, { kind, ...decision });
    await tell(transaction, state, row, decision.by, decision.message);
    return true;
  }
  async function tell(
    transaction: Transaction<unknown>,
    what: string,
    { id, project, environment, release, kind, name, version }: Subject & Place & { id: string },
    by: string,
    message: string,
  ): Promise<void> {
    const model = kind === "model" ? name : null;
    await events.append(transaction, `promotion.${what}`, id, { promotion: id, project, environment, release, model, version, by, message });
  }

  return {
    start,
    follow,
    async list({ limit = 100, ...query }) {
      const rows = await listPromotions(db, { ...query, limit });
      const last = rows.at(-1);
      return { items: rows.map(toPromotion), ...(last !== undefined && rows.length === limit ? { next: last.id } : {}) };
    },
    async get(id) {
      const row = await require(id);
      return { ...toPromotion(row), decisions: await decisionsOf(db, id) };
    },
    answersTo: async (model, version) => answersTo(db, model, version, (await on.registry.registered(model, version)).digest),
    answer,
    async cancel(id, by, comment) {
      const row = await require(id);
      const decision = { by, message: `${by} ended it${comment === undefined ? "." : `: ${comment}`}` };
      const ended = await db.transaction().execute((transaction) => end(transaction, row, "cancelled", decision, notOver));
      if (!ended) throw conflict(`The promotion is ${(await require(id)).state}: it can't be cancelled any more.`);
      return toPromotion(await require(id));
    },
    rollback,
    launch: () => keeper.start(),
    async stop() {
      stopping.abort(new Error("The server stops."));
      await keeper.stop();
    },
  };
}

type Ending = Extract<PromotionState, "deployed" | "refused" | "failed" | "superseded" | "cancelled">;
const placeOf = ({ project, environment, kind, name }: Place): Place => ({ project, environment, kind, name });
const isSame = (a: Subject, b: Subject): boolean => a.kind === b.kind && a.name === b.name && a.content === b.content && a.version === b.version;
const wordsOf = ({ name, release, version }: Subject): string => (release === null ? `${name}/${version}` : `the release ${release.slice(0, 19)}`);
const whose = ({ approvals }: EnvironmentSpec): string => (approvals?.by === undefined ? "" : ` by ${approvals.by.join(", ")}`);
/** A user's name against a name, or the address of a commit: `anna` is the author `anna@example.org`. */
function isPerson(author: string, user: string): boolean {
  const [a, b] = [author.toLowerCase(), user.toLowerCase()];
  return a === b || a.split("@")[0] === b;
}
