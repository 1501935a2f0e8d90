/** What changes in the registry, told by the names and in the words of MLflow's webhooks: each in the transaction of the fact. */
import { sql, type Transaction } from "kysely";
import type { Platform } from "../platform/index.js";

type Tx = Transaction<unknown>;
type Tags = Readonly<Record<string, string>>;

export const promptTag = "mlflow.prompt.is_prompt";
const promptTypeTag = "_mlflow_prompt_type";
const promptTextTag = "mlflow.prompt.text";

export function createTelling(events: Platform["events"]) {
  async function isPrompt(transaction: Tx, model: string): Promise<boolean> {
    const { rows } = await sql<{
      prompt: boolean;
    }>`select tags @> ${JSON.stringify({ [promptTag]: "true" })}::jsonb as prompt from model where name = ${model}`.execute(transaction);
    return rows[0]?.prompt === true;
  }
  return {
    async modelCreated(transaction: Tx, name: string, { tags, description }: { tags: Tags; description: string }): Promise<void> {
      const prompt = tags[promptTag] === "true";
      await events.append(transaction, `${prompt ? "prompt" : "registered_model"}.created`, name, { name, tags: prompt ? ownTags(tags) : tags, description });
    },
    async versionCreated(
      transaction: Tx,
      name: string,
      version: number,
      of: { prompt: boolean; source: string; runId: string | null; tags: Tags; description: string | null },
    ): Promise<void> {
      const told = { name, version: String(version), tags: of.tags, description: of.description };
      const subject = `${name}/${version}`;
      if (!of.prompt) return events.append(transaction, "model_version.created", subject, { ...told, source: of.source, run_id: of.runId });
      const { [promptTextTag]: template = null, ...tags } = ownTags(of.tags);
      return events.append(transaction, "prompt_version.created", subject, { ...told, template, tags });
    },
    /** MLflow tells of a model's own tags where it is a prompt. */
    async modelTag(transaction: Tx, name: string, key: string, value: string | undefined): Promise<void> {
      if (!(await isPrompt(transaction, name))) return;
      if (value === undefined) await events.append(transaction, "prompt_tag.deleted", name, { name, key });
      else await events.append(transaction, "prompt_tag.set", name, { name, key, value });
    },
    async versionTag(transaction: Tx, name: string, version: number, key: string, value: string | undefined): Promise<void> {
      const what = (await isPrompt(transaction, name)) ? "prompt_version_tag" : "model_version_tag";
      const told = { name, version: String(version), key };
      if (value === undefined) await events.append(transaction, `${what}.deleted`, `${name}/${version}`, told);
      else await events.append(transaction, `${what}.set`, `${name}/${version}`, { ...told, value });
    },
    async alias(transaction: Tx, name: string, alias: string, version: number | undefined): Promise<void> {
      const what = (await isPrompt(transaction, name)) ? "prompt_alias" : "model_version_alias";
      if (version === undefined) await events.append(transaction, `${what}.deleted`, name, { name, alias });
      else await events.append(transaction, `${what}.created`, name, { name, alias, version: String(version) });
    },
  };
}

/** Without those by which MLflow's clients know a prompt. */
function ownTags({ [promptTag]: _, [promptTypeTag]: __, ...tags }: Tags): Tags {
  return tags;
}
