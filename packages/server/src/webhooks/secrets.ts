/** What signs deliveries: encrypted in the table, and bound to its webhook, so that it can't be moved to another one's row. */
import { sql } from "kysely";
import type { Platform } from "../platform/index.js";
import type { Secrets } from "../secrets/index.js";
import type { Letter } from "./send.js";
import type { Sent } from "./types.js";

export interface SealedLetter extends Omit<Letter, "secret"> {
  webhook: string;
  sealed: Buffer | null;
}
type Send<L> = (letter: L, stop: AbortSignal) => Promise<Sent>;

export function createSealing({ db }: Pick<Platform, "db">, secrets: Pick<Secrets, "seal" | "open">) {
  const of = (webhook: string) => `of the webhook ${webhook}`;
  const close = async (webhook: string, secret: string | undefined) => (secret ? secrets.seal(of(webhook), secret) : null);
  return {
    close,
    /** Nothing is sent unsigned that is to be signed: another process may have the key, or this one after its next start. */
    signing:
      (send: Send<Letter>): Send<SealedLetter> =>
      async ({ webhook, sealed, ...letter }, stop) => {
        let secret: string | null;
        try {
          secret = sealed === null ? null : await secrets.open(of(webhook), sealed);
        } catch (error) {
          return { error: error instanceof Error ? error.message : "The secret could not be opened.", again: true };
        }
        return send({ ...letter, secret }, stop);
      },
    /** Earlier versions kept them as plain text. Two processes that start at once each seal what the other has not. */
    async sealPlain(): Promise<void> {
      const { rows } = await sql<{ id: string; secret: string }>`select id, secret from webhook where secret is not null`.execute(db);
      for (const { id, secret } of rows) {
        await sql`update webhook set sealed = ${await close(id, secret)}, secret = null where id = ${id} and secret = ${secret}`.execute(db);
      }
    },
  };
}
