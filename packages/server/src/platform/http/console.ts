import { existsSync } from "node:fs";
import path from "node:path";
import fastifyStatic from "@fastify/static";
import type { Http } from "./types.js";

const notBuilt = `<!doctype html><meta charset="utf-8"><title>Millrace</title><p>The console is not built. In the checkout: <code>npm run build</code>, then start the server again.</p>`;

/** The console at `/`: static files, and for every address that is one of its screens the page that draws them. Answers whether it is built. */
export async function serveConsole(app: Http, folder: string | undefined): Promise<boolean> {
  const open = { config: { permission: "public" as const }, schema: { hide: true } };
  const built = folder !== undefined && existsSync(path.join(folder, "index.html")) ? folder : undefined;
  if (built === undefined) {
    app.get("/", open, async (_request, reply) => reply.type("text/html").send(notBuilt));
    return false;
  }
  await app.register(fastifyStatic, {
    root: built,
    serve: false,
    setHeaders(reply, file) {
      // Built files carry their digest in their names, all but the page itself.
      reply.setHeader("cache-control", file.includes(`${path.sep}assets${path.sep}`) ? "public, max-age=31536000, immutable" : "no-cache");
      reply.setHeader("x-content-type-options", "nosniff");
      reply.setHeader("content-security-policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'");
    },
  });
  app.get("/", open, async (_request, reply) => reply.sendFile("index.html"));
  app.get("/assets/*", open, async (request, reply) => reply.sendFile(`assets/${(request.params as { "*": string })["*"]}`));
  app.get("/favicon.svg", open, async (_request, reply) => reply.sendFile("favicon.svg"));
  return true;
}

/** Addresses that no screen of the console may have. */
const notScreens = /^\/(api|ajax-api|v2|metrics|health|version|openapi\.json|assets)(\/|$)/;
export const isScreen = (method: string, url: string, accept: string | undefined): boolean =>
  method === "GET" && !notScreens.test(url) && (accept ?? "").includes("text/html");
