import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { sql } from "kysely";
import { ApiError, conflict, invalid, type Permission, type Platform, type Principal, StartError } from "../platform/index.js";
import type { Access, Role } from "./types.js";

/** What each role may do. Viewers read; editors change and approve; admins also say who else may. */
const allowed: Record<Role, (permission: Permission) => boolean> = {
  viewer: (permission) => permission.endsWith(":read"),
  editor: (permission) => /:(read|write|approve)$/.test(permission),
  admin: () => true,
};
/** For how long a decision about a token is taken from memory. */
const trustMs = 1_000;
const singleUser: Principal = { name: "local", role: "admin" };

export async function createAccess(platform: Pick<Platform, "db" | "config" | "clock">): Promise<Access> {
  const { db, config } = platform;
  await sql`insert into access_key (id, key) values (1, ${randomBytes(32)}) on conflict do nothing`.execute(db);
  const { rows } = await sql<{ key: Buffer }>`select key from access_key where id = 1`.execute(db);
  const key = rows[0]?.key ?? randomBytes(32);
  const exposed = !isLoopback(config.host);
  const known = new Map<string, { principal: (Principal & { role: Role }) | undefined; at: number }>();
  let users: { any: boolean; at: number } | undefined;
  let asking: Promise<boolean> | undefined;

  /** Whoever asks at once shares a question, and most ask none. */
  function anyPrincipal(): boolean | Promise<boolean> {
    if (users !== undefined && (users.any || performance.now() - users.at < trustMs)) return users.any;
    asking ??= sql`select 1 from principal limit 1`
      .execute(db)
      .then(({ rows: found }) => {
        users = { any: found.length > 0, at: performance.now() };
        return users.any;
      })
      .finally(() => {
        asking = undefined;
      });
    return asking;
  }

  async function byToken(token: string): Promise<(Principal & { role: Role }) | undefined> {
    const digest = digestOf(token);
    const before = known.get(digest);
    if (before !== undefined && performance.now() - before.at < trustMs) return before.principal;
    const found = await sql<{ name: string; role: Role }>`select name, role from principal where token_digest = ${digest}`.execute(db);
    if (known.size > 10_000) known.clear();
    known.set(digest, { principal: found.rows[0], at: performance.now() });
    return found.rows[0];
  }

  const sign = (payload: string) => createHmac("sha256", key).update(payload).digest("base64url");
  function byIssued(token: string): { name: string; permissions: string[] } | undefined {
    const [kind, payload, signature] = token.split(".");
    if (kind !== "mrt" || payload === undefined || signature === undefined) return undefined;
    const expected = Buffer.from(sign(payload));
    const told = Buffer.from(signature);
    if (told.length !== expected.length || !timingSafeEqual(told, expected)) return undefined;
    const { name, permissions, until } = JSON.parse(Buffer.from(payload, "base64url").toString()) as { name: string; permissions: string[]; until: number };
    return until > Date.now() ? { name, permissions } : undefined;
  }

  async function byHeaders(headers: IncomingMessage["headers"], permission: Permission): Promise<Principal> {
    const token = tokenOf(headers);
    if (token === undefined) throw new ApiError(401, "UNAUTHENTICATED", "Send a token: Authorization: Bearer <token>, or as the password of Basic.");
    const issued = byIssued(token);
    if (issued !== undefined) {
      if (!issued.permissions.some((one) => one === permission || (one.endsWith(":*") && permission.startsWith(one.slice(0, -1)))))
        throw forbidden(issued.name, permission);
      return { name: issued.name };
    }
    const principal = await byToken(token);
    if (principal === undefined) throw new ApiError(401, "UNAUTHENTICATED", "The token is not known, or has ended.");
    if (!allowed[principal.role](permission)) throw forbidden(principal.name, permission);
    return { name: principal.name, role: principal.role };
  }

  return {
    authorize({ headers, method, permission }) {
      checkOrigin(headers, method);
      if (!exposed) checkHost(headers);
      if (permission === "public") return singleUser;
      if (exposed) return byHeaders(headers, permission);
      const any = anyPrincipal();
      if (any === false) return singleUser;
      if (any === true) return byHeaders(headers, permission);
      return any.then((some) => (some ? byHeaders(headers, permission) : singleUser));
    },
    async checkExposure() {
      if (exposed && !(await anyPrincipal())) {
        throw new StartError(
          `Bound to ${config.host}, everyone who reaches it could use it: no user is set up. Add one with \`millrace user add <name> --role admin\`, or bind to 127.0.0.1.`,
        );
      }
    },
    async addPrincipal(name, role) {
      if (!/^[a-zA-Z0-9][a-zA-Z0-9._@-]{0,99}$/.test(name)) throw invalid(`"${name}" can't be a user's name: letters, digits and . _ @ - only.`);
      const token = randomBytes(32).toString("base64url");
      const added = await sql`
        insert into principal (name, role, token_digest, created_at) values (${name}, ${role}, ${digestOf(token)}, ${platform.clock.now()})
        on conflict do nothing returning name`.execute(db);
      if (added.rows.length === 0) throw conflict(`There is a user "${name}" already.`);
      users = undefined;
      return token;
    },
    issueToken(name, permissions, forMs) {
      const payload = Buffer.from(JSON.stringify({ name, permissions, until: Date.now() + forMs })).toString("base64url");
      return `mrt.${payload}.${sign(payload)}`;
    },
  };
}

const digestOf = (token: string) => createHash("sha256").update(token).digest("hex");
const forbidden = (name: string, permission: string) => new ApiError(403, "FORBIDDEN", `"${name}" may not do this: it needs the permission ${permission}.`);

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.[0-9]{1,3}){3}$/.test(host);
}
const hostName = (authority: string): string => authority.replace(/:[0-9]+$/, "").toLowerCase();

/**
 * A page of another site that resolves its own name to this machine sends its own name: that is refused. The port may be another one
 * than ours, as where ours is forwarded: what a page on another port of this machine asks is told by its origin.
 */
function checkHost(headers: IncomingMessage["headers"]): void {
  const host = headers.host;
  if (host === undefined || !isLoopback(hostName(host))) {
    throw new ApiError(403, "FORBIDDEN", `This server is for its own machine: reach it as localhost or 127.0.0.1, not as "${String(host).slice(0, 100)}".`);
  }
}
/** A browser tells from which site a script asks. Only the console's own may. */
function checkOrigin(headers: IncomingMessage["headers"], method: string): void {
  const { origin } = headers;
  const site = headers["sec-fetch-site"];
  if (origin !== undefined) {
    const same = URL.canParse(origin) && new URL(origin).host === headers.host;
    if (!same) throw new ApiError(403, "FORBIDDEN", `Requests from pages of ${origin.slice(0, 100)} are refused.`);
  } else if (site === "cross-site" && method !== "GET" && method !== "HEAD") {
    throw new ApiError(403, "FORBIDDEN", "Requests from pages of other sites are refused.");
  }
}

function tokenOf(headers: IncomingMessage["headers"]): string | undefined {
  const [scheme, value] = (headers.authorization ?? "").split(" ");
  if (value === undefined || value.length > 2_000) return undefined;
  if (scheme?.toLowerCase() === "bearer") return value;
  if (scheme?.toLowerCase() === "basic") return Buffer.from(value, "base64").toString().split(":").slice(1).join(":");
  return undefined;
}
