import type { ModelCardSpec } from "../spec.js";
import { type Definition, define } from "./definition.js";
import { given, here } from "./place.js";

export interface ModelCard extends Definition<"modelCards"> {}
/** What people declare about a registered model. Its data, metrics, slices, gates, approvals and origin come from the platform: `millrace model card`. */
export function modelCard(options: {
  /** The registered model, whoever registers its versions. */
  model: string;
  /** In a sentence or two, what it does. */
  summary?: string;
  /** Who answers for it, and how they are reached. */
  owner?: string;
  /** As Hugging Face names licenses: `apache-2.0`, `mit`; any other text is a license's name. */
  license?: string;
  /** ISO 639 codes, where the model takes texts: `["en"]`. */
  languages?: readonly string[];
  tags?: readonly string[];
  /** What it was made for, and who uses it. */
  intendedUse?: string;
  /** What it must not be used for. */
  outOfScopeUse?: string;
  /** Where it is known to be wrong, unfair or without data. */
  limitations?: readonly string[];
  /** What whoever uses it should do about its limits. */
  recommendations?: string;
  /** Papers, pages, tickets. */
  references?: readonly string[];
}): ModelCard {
  const { model, languages, tags, limitations, references, ...texts } = options;
  const list = (values: readonly string[] | undefined) => (values === undefined || values.length === 0 ? undefined : [...values]);
  const spec: ModelCardSpec = given({
    name: model,
    ...texts,
    languages: list(languages),
    tags: list(tags),
    limitations: list(limitations),
    references: list(references),
    definedAt: here(),
  });
  return define("modelCards", spec);
}
