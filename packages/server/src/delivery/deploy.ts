/** What it means that something comes into an environment: on this server, or on another one. */
import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { Deployed, ReleaseDetail, VersionDeploy } from "@millrace/sdk/api";
import { canonical, sha256 } from "@millrace/sdk/release";
import type { ProjectSpec } from "@millrace/sdk/spec";
import { ApiError, type Digest, invalid, type Platform } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import type { Registry } from "../registry/index.js";
import type { Serving } from "../serving/index.js";
import type { Environments } from "./environments.js";
import type { Releases } from "./releases.js";

const champion = "champion";

export interface Deploy {
  /** Makes a release what this server has of its project. */
  release(release: ReleaseDetail, by: string, reason?: string): Promise<Deployed>;
  /**
   * Makes a version what the endpoints of its model answer with: by their rollouts, or at once where they have no version yet or `atOnce` says so. It is
   * not `done` while a rollout runs; asked again with the moment at which that was begun, it says how far it is. Throws a 409 where it was rolled back.
   */
  model(model: string, version: number, options: { atOnce: boolean; since?: Date | undefined; by: string; reason: string }): Promise<Deployed>;
  /** Ends the rollouts that try the version. Answers whether there were any. */
  stop(model: string, version: number, by: string, reason: string): Promise<boolean>;
  /** A version of another server, as one of this. */
  register(sent: VersionDeploy, by: string): Promise<number>;
}

export function createDeploy(
  { config, objects, db, events }: Pick<Platform, "config" | "objects" | "db" | "events">,
  on: {
    projects: Projects;
    registry: Registry;
    serving: Pick<Serving, "endpoints" | "startRollout" | "moveRollout">;
    releases: Releases;
    environments: Environments;
  },
): Deploy {
  /** Documents that are applied by this right now: of what is protected, nothing else is. */
  const applying = new Set<string>();
  on.projects.review(async (spec, act) => {
    const serving = await on.environments.serving(spec.name);
    if (serving?.protected !== true || applying.has(documentOf(spec))) return [];
    const message = `This server is "${serving.name}" of ${spec.name}, to which releases alone come: millrace release, then millrace promote <release> --to ${serving.name}.`;
    if (act === "apply") throw new ApiError(409, "PROTECTED", message);
    return [message];
  });
  /** Watched folders are relative to the folder that the project has here already, or to one of its own below the data folder. */
  async function folderOf(project: string): Promise<string> {
    const known = await on.projects.current(project).catch((error: unknown) => {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    });
    if (known !== undefined && known.folder !== "") return known.folder;
    const own = path.join(config.dataDir, "projects", project);
    await mkdir(own, { recursive: true });
    return own;
  }
  return {
    async release(release, by, reason) {
      const document = await on.releases.document(release);
      const spec = { ...document, folder: await folderOf(release.project) };
      applying.add(documentOf(spec));
      const { version, changes } = await on.projects.apply(spec, by).finally(() => applying.delete(documentOf(spec)));
      const told = { release: release.digest, version, by, ...(reason === undefined ? {} : { reason }) };
      await db.transaction().execute((transaction) => events.append(transaction, "release.deployed", release.project, told));
      const changed = changes.filter(({ action }) => action !== "unchanged").length;
      return {
        done: true,
        message: `${release.project} is at version ${version}: ${changed === 0 ? "no definition changes" : `${changed} definitions change`}.`,
      };
    },
    async model(model, version, { atOnce, since, by, reason }) {
      const endpoints = (await on.serving.endpoints()).filter((endpoint) => endpoint.model === model);
      const names = endpoints.map(({ name }) => name).join(", ");
      if (endpoints.length === 0) {
        await on.registry.setAlias(model, champion, version);
        return { done: true, message: `It is the ${champion}; no endpoint of this server has the model.` };
      }
      const under: string[] = [];
      for (const { name, stable, candidate, rollout } of endpoints) {
        if (stable === version) continue;
        if (atOnce || stable === null) {
          await on.serving.moveRollout(name, "promote", { version, reason }, by);
          continue;
        }
        const ended = since !== undefined && rollout?.finishedAt != null && Date.parse(rollout.finishedAt) >= since.getTime() ? rollout : undefined;
        if (ended?.candidate === version && ended.state !== "promoted")
          throw new ApiError(409, "ROLLED_BACK", `The rollout of ${name} ended as ${ended.state.replace("_", " ")}: ${ended.reason ?? "nobody said why"}`);
        if (candidate === version && rollout !== null) under.push(`${name} at ${Math.round(rollout.weight * 100)}%`);
        else if (since === undefined) {
          const began = await on.serving.startRollout(name, { version, reason }, by);
          under.push(`${name} at ${Math.round(began.weight * 100)}%`);
        } else throw new ApiError(409, "SUPERSEDED", `Another version took its place in the rollout of ${name}.`);
      }
      if (under.length > 0) return { done: false, message: `Its rollout is under way: ${under.join(", ")}.` };
      return { done: true, message: `${names} answer${endpoints.length === 1 ? "s" : ""} with it.` };
    },
    async stop(model, version, by, reason) {
      const trying = (await on.serving.endpoints()).filter((endpoint) => endpoint.model === model && endpoint.candidate === version);
      for (const { name } of trying) await on.serving.moveRollout(name, "rollback", { reason }, by);
      return trying.length > 0;
    },
    async register(sent, by) {
      const missing: string[] = [];
      for (const { digest } of sent.files) if ((await objects.renew(digest as Digest)) === undefined) missing.push(digest);
      if (missing.length > 0)
        throw new ApiError(409, "FILES_MISSING", `${missing.length} of the version's files are not on the server. Upload them, then send it again.`, {
          missing,
        });
      checkPaths(sent.files);
      const { version } = await on.registry.register({
        ...{ model: sent.model, digest: sent.digest, files: sent.files, service: sent.service, metrics: sent.metrics, gates: sent.gates, report: sent.report },
        ...{ runId: null, trackingRunId: null, source: sent.origin },
      });
      for (const signature of sent.signatures) await on.releases.signModel(sent.model, version, signature, by);
      return version;
    },
  };
}

const documentOf = (spec: ProjectSpec): string => sha256(canonical({ ...spec, folder: "" }));
function checkPaths(files: readonly { path: string }[]): void {
  const seen = new Set<string>();
  for (const { path: file } of files) {
    const parts = file.split("/");
    if (seen.has(file) || file.includes("\\") || file.includes("\0") || parts.some((part) => part === "" || part === "." || part === ".."))
      throw invalid(`"${file}" is no path of a model's file: write it relative, with "/", without "." and "..", and once.`);
    seen.add(file);
  }
}
