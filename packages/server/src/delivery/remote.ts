/** Another server that is an environment: what comes there is sent, and deployed by it. */

import type { Deployed, ModelVersionDetail, ReleaseDetail, Signature } from "@millrace/sdk/api";
import { type Client, createClient, ApiError as Refused } from "@millrace/sdk/client";
import type { EnvironmentSpec } from "@millrace/sdk/spec";
import { ApiError, type Digest, type Platform } from "../platform/index.js";
import type { Secrets } from "../secrets/index.js";

type Server = NonNullable<EnvironmentSpec["server"]>;
export interface Remote {
  release(server: Server, release: ReleaseDetail, reason: string): Promise<Deployed>;
  model(server: Server, version: ModelVersionDetail, signatures: readonly Signature[], atOnce: boolean): Promise<Deployed>;
}
/** Of what is missing there all is sent in so many turns: the manifest first, then what it names. */
const rounds = 4;

export function createRemote({ objects }: Pick<Platform, "objects">, on: { secrets: Pick<Secrets, "read"> }): Remote {
  async function clientOf({ url, token }: Server): Promise<Client> {
    const value = token === undefined ? undefined : (await on.secrets.read([token]))[token];
    if (token !== undefined && value === undefined)
      throw new ApiError(409, "CONFLICT", `The secret ${token}, a token of ${url}, is not set: millrace secret set ${token}`);
    // A redirect would be given the token.
    const direct: typeof fetch = (input, init) => fetch(input, { ...init, redirect: "error", signal: AbortSignal.timeout(600_000) });
    return createClient({ url, token: value, fetch: direct });
  }
  /** Asks until nothing is missing there. What the other server refuses, or that it is away, is told as a conflict of this one. */
  async function sending<T>(server: Server, work: (client: Client) => Promise<T>): Promise<T> {
    const client = await clientOf(server);
    try {
      for (let round = 1; ; round++) {
        try {
          return await work(client);
        } catch (error) {
          const missing = error instanceof Refused && error.code === "FILES_MISSING" ? missingOf(error.details) : [];
          if (missing.length === 0 || round === rounds) throw error;
          for (const digest of missing) await client.projects.upload(digest, await bytesOf(digest));
        }
      }
    } catch (error) {
      if (error instanceof ApiError) throw error;
      if (error instanceof Refused) throw new ApiError(409, "CONFLICT", `${server.url} refused it (${error.status}): ${error.message}`);
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : error instanceof Error ? error.message : String(error);
      throw new ApiError(409, "CONFLICT", `${server.url} can't be reached: ${cause}`);
    }
  }
  async function bytesOf(digest: string): Promise<Blob> {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    for await (const part of await objects.read(digest as Digest)) parts.push(new Uint8Array(part));
    return new Blob(parts);
  }

  return {
    release: (server, { digest, authors, signatures }, reason) =>
      sending(server, async (client) => {
        await client.releases.add({ digest, authors, signatures: signatures.slice(0, 10).map(({ signature }) => Object(signature)) });
        return client.releases.deploy(digest, reason);
      }),
    model: (server, { model, version, digest, files, service, metrics, gates, report, createdAt }, signatures, atOnce) =>
      sending(server, (client) =>
        client.models.deploy({
          ...{ model, digest, files, service, metrics, gates, report, atOnce },
          // The same wherever this server listens, and another one for a server that numbers its versions alike.
          origin: `millrace:/models/${encodeURIComponent(model)}/${version}?registered=${createdAt}`,
          signatures: signatures.map(({ signature }) => Object(signature)),
        }),
      ),
  };
}

function missingOf(details: unknown): string[] {
  const missing = typeof details === "object" && details !== null && "missing" in details ? details.missing : undefined;
  return Array.isArray(missing) ? missing.filter((one): one is string => typeof one === "string") : [];
}
