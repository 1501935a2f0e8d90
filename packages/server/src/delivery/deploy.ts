/** What it means that something comes into an environment: on this server, or on another one. */
import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { Deployed, ReleaseDetail, VersionDeploy } from "@millrace/sdk/api";
import { ApiError, type Digest, invalid, type Platform } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import type { Registry } from "../registry/index.js";
import type { Serving } from "../serving/index.js";
import type { Releases } from "./releases.js";

const champion = "champion";
const challenger = "challenger";

export interface Deploy {
  /** Makes a release what this server has of its project. */
  release(release: ReleaseDetail, by: string, reason?: string): Promise<Deployed>;
  /**
   * Makes a version what the endpoints of its model answer with: by their rollouts, or at once where they have no version yet or `atOnce` says so. It is
   * not `done` while a rollout runs; asked again with the moment at which that was begun, it says how far it is. Throws a 409 where one was rolled back.
   */
  model(model: string, version: number, options: { atOnce: boolean; since?: Date | undefined }): Promise<Deployed>;
  /** Ends the rollouts that try the version. Answers whether there were any. */
  stop(model: string, version: number, reason: string): Promise<boolean>;
  /** A version of another server, as one of this. */
  register(sent: VersionDeploy, by: string): Promise<number>;
}

export function createDeploy(
  { config, objects, db, events }: Pick<Platform, "config" | "objects" | "db" | "events">,
  on: { projects: Projects; registry: Registry; serving: Pick<Serving, "endpoints" | "rollouts" | "rollback">; releases: Releases },
): Deploy {
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
      const { version, changes } = await on.projects.apply({ ...document, folder: await folderOf(release.project) }, by);
      const told = { release: release.digest, version, by, ...(reason === undefined ? {} : { reason }) };
      await db.transaction().execute((transaction) => events.append(transaction, "release.deployed", release.project, told));
      const changed = changes.filter(({ action }) => action !== "unchanged").length;
      return {
        done: true,
        message: `${release.project} is at version ${version}: ${changed === 0 ? "no definition changes" : `${changed} definitions change`}.`,
      };
    },
    async model(model, version, { atOnce, since }) {
      const endpoints = (await on.serving.endpoints()).filter((endpoint) => endpoint.model === model);
      const answering = endpoints.filter(({ stable }) => stable === version).map(({ name }) => name);
      if (endpoints.length === 0 || answering.length === endpoints.length || atOnce || endpoints.every(({ stable }) => stable === null)) {
        await on.registry.setAlias(model, champion, version);
        return {
          done: true,
          message:
            endpoints.length === 0
              ? `It is the ${champion}; no endpoint of this server has the model.`
              : `It is the ${champion}: ${endpoints.map(({ name }) => name).join(", ")} answer${endpoints.length === 1 ? "s" : ""} with it.`,
        };
      }
      if (since === undefined) {
        await on.registry.setAlias(model, challenger, version);
        return { done: false, message: `It is the ${challenger}: the rollout of ${endpoints.map(({ name }) => name).join(", ")} decides.` };
      }
      const under: string[] = [];
      for (const { name, stable } of endpoints) {
        if (stable === version) continue;
        const rollout = (await on.serving.rollouts(name, 20)).find((one) => one.candidate === version);
        if (rollout !== undefined && rollout.finishedAt !== null && Date.parse(rollout.finishedAt) >= since.getTime() && rollout.state !== "promoted")
          throw new ApiError(409, "ROLLED_BACK", `The rollout of ${name} ended as ${rollout.state.replace("_", " ")}: ${rollout.reason ?? "nobody said why"}`);
        under.push(`${name} at ${Math.round((rollout?.weight ?? 0) * 100)}%`);
      }
      return {
        done: under.length === 0,
        message: under.length === 0 ? `It is the ${champion}: its rollout was passed.` : `Its rollout is under way: ${under.join(", ")}.`,
      };
    },
    async stop(model, version, reason) {
      const trying = (await on.serving.endpoints()).filter((endpoint) => endpoint.model === model && endpoint.candidate === version);
      for (const { name } of trying) await on.serving.rollback(name, reason);
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

function checkPaths(files: readonly { path: string }[]): void {
  const seen = new Set<string>();
  for (const { path: file } of files) {
    const parts = file.split("/");
    if (seen.has(file) || file.includes("\\") || file.includes("\0") || parts.some((part) => part === "" || part === "." || part === ".."))
      throw invalid(`"${file}" is no path of a model's file: write it relative, with "/", without "." and "..", and once.`);
    seen.add(file);
  }
}
