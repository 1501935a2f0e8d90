/** The server that a command speaks to. */
import { ApiError, type Client, createClient } from "@millrace/sdk/client";
import type { Command } from "commander";
import { CliError, codeOf, Unreachable } from "./errors.js";

export interface ServerOptions {
  url: string;
  token?: string;
}

/** Options of every command that speaks to a server. */
export function withServer(command: Command): Command {
  return command
    .option("--url <address>", "the server's address (MILLRACE_URL)", process.env.MILLRACE_URL ?? "http://127.0.0.1:4600")
    .option("--token <token>", "an access token (MILLRACE_TOKEN)");
}

export function connect({ url, token }: ServerOptions): Client {
  if (!URL.canParse(url) || !/^https?:/.test(url)) throw new CliError(`"${url}" is no address: give one as http://127.0.0.1:4600.`, 2);
  const options = { url, token: token ?? process.env.MILLRACE_TOKEN, fetch: reaching(url) };
  return createClient(options);
}

/** `fetch` whose errors say what to do where nothing answers. */
function reaching(url: string): typeof fetch {
  return async (input, init) => {
    try {
      return await fetch(input, init);
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined;
      const refused = cause instanceof AggregateError ? cause.errors[0] : cause;
      const code = codeOf(refused)?.code;
      if (code === "ECONNREFUSED") throw new Unreachable(`No server answers at ${url}. Start it with: millrace up`);
      if (code === "ENOTFOUND" || code === "EAI_AGAIN") throw new CliError(`There is no host for ${url}. Name another with --url or MILLRACE_URL.`);
      if (refused instanceof Error) throw new Unreachable(`The server at ${url} can't be reached: ${refused.message}.`);
      throw error;
    }
  };
}

export const isNotFound = (error: unknown): boolean => error instanceof ApiError && error.status === 404;
