import type { IncomingMessage } from "node:http";
import type { Permission, Principal } from "../platform/index.js";

export const roles = ["viewer", "editor", "admin"] as const;
export type Role = (typeof roles)[number];

export interface Access {
  /** Throws a 401 where nobody known asks, a 403 where somebody may not. */
  authorize(request: { headers: IncomingMessage["headers"]; method: string; permission: Permission }): Principal | Promise<Principal>;
  /** Throws where nobody could be kept out: bound to other than loopback, and no principals. */
  checkExposure(): Promise<void>;
  /** Answers the token, which is kept nowhere. */
  addPrincipal(name: string, role: Role): Promise<string>;
  /** A token for a process that the platform starts, good for `forMs` and for what the permissions name (`tracking:*`). Needs no removal. */
  issueToken(name: string, permissions: string[], forMs: number): string;
}
