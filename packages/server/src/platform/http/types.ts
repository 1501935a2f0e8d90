import type { IncomingMessage, ServerResponse } from "node:http";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from "fastify";

/** `<what>:<read or write or admin>`; `public` needs none. */
export type Permission = "public" | `${string}:${"read" | "write" | "admin"}`;

declare module "fastify" {
  interface FastifyContextConfig {
    /** What a caller must be allowed to do. A route without it can't be registered. */
    permission?: Permission;
  }
  interface FastifyInstance {
    readonly declaredRoutes: readonly DeclaredRoute[];
  }
  interface FastifyRequest {
    /** Who asks; set before any handler runs. */
    principal: Principal;
    /** Asks for more than the route does, where that depends on what is asked for. Throws as the route would. */
    demand(permission: Permission): Promise<void>;
  }
}
export interface DeclaredRoute {
  method: string;
  url: string;
  permission: Permission;
}
export interface Principal {
  name: string;
}

export type Http = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>;

/** Decides whether a request may go on. Throws an ApiError where not. */
export type Authorize = (request: { headers: IncomingMessage["headers"]; method: string; permission: Permission }) => Principal | Promise<Principal>;
