import type { IncomingMessage, ServerResponse } from "node:http";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from "fastify";

/** `<what>:<read or write or approve or admin>`; `public` needs none. */
export type Permission = "public" | `${string}:${"read" | "write" | "approve" | "admin"}`;

declare module "fastify" {
  interface FastifyContextConfig {
    /** What a caller must be allowed to do. A route without it can't be registered. */
    permission?: Permission;
  }
  interface FastifyInstance {
    readonly declaredRoutes: readonly DeclaredRoute[];
    readonly authorize: Authorize;
    /** Gives requests to a handler of Node's own before the framework sees them. What it does not take goes to the routes as if it had not been asked. */
    serveDirectly(handler: DirectHandler): void;
  }
  interface FastifyRequest {
    /** Who asks; set before any handler runs. */
    principal: Principal;
    /** Asks for more than the route does, where that depends on what is asked for. Throws as the route would. */
    demand(permission: Permission): Promise<void>;
  }
}
/** Answers whether it takes the request. For what it takes, a declared route must do the same, with the same permission. */
export type DirectHandler = (request: IncomingMessage, response: ServerResponse) => boolean;
export interface DeclaredRoute {
  method: string;
  url: string;
  permission: Permission;
}
export interface Principal {
  name: string;
  /** Of a user; a token that the platform issued has permissions of its own. */
  role?: string;
}

export type Http = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>;

/** Decides whether a request may go on. Throws an ApiError where not. */
export type Authorize = (request: { headers: IncomingMessage["headers"]; method: string; permission: Permission }) => Principal | Promise<Principal>;
