/** What there is to hear of, each with the example that a test of a webhook sends. */
const model = { name: "example_model" };
const prompt = { name: "example_prompt" };
const tag = { key: "example_key", value: "example_value" };
const { value: _, ...key } = tag;
const tags = { example_key: "example_value" };
const alias = "example_alias";
const version = "1";

export const examples: Readonly<Record<string, Record<string, unknown>>> = {
  "registered_model.created": { ...model, tags, description: "An example registered model" },
  "model_version.created": { ...model, version, source: "models:/123", run_id: "abcd1234abcd5678", tags, description: "An example model version" },
  "model_version_tag.set": { ...model, version, ...tag },
  "model_version_tag.deleted": { ...model, version, ...key },
  "model_version_alias.created": { ...model, alias, version },
  "model_version_alias.deleted": { ...model, alias },
  "prompt.created": { ...prompt, tags, description: "An example prompt" },
  "prompt_version.created": { ...prompt, version, template: "Hello {{name}}!", tags, description: "An example prompt version" },
  "prompt_tag.set": { ...prompt, ...tag },
  "prompt_tag.deleted": { ...prompt, ...key },
  "prompt_version_tag.set": { ...prompt, version, ...tag },
  "prompt_version_tag.deleted": { ...prompt, version, ...key },
  "prompt_alias.created": { ...prompt, alias, version },
  "prompt_alias.deleted": { ...prompt, alias },
};
