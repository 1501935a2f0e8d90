/** What is wrong with a document's form, in words: the place, what stands there, and what would be right. */
import { KindGuard, type TObject, type TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { Expr, NodeSpec, ProjectSpec } from "../spec.js";

/** The first thing that is wrong, or undefined. `value` may be anything. */
export function formProblem(value: unknown): string | undefined {
  return problemIn(ProjectSpec, value, "");
}

/** Of a union of kinds, the one that is meant says what is wrong: that none of fifteen fits is of no help. */
function problemIn(schema: TSchema, value: unknown, path: string): string | undefined {
  const error = Value.Errors(schema, [NodeSpec, Expr], value).First();
  if (error === undefined) return undefined;
  const place = path + error.path;
  const variants = KindGuard.IsUnion(error.schema) ? error.schema.anyOf : [];
  const tag = ["kind", "op"].find((name) => variants.some((one) => constOf(one, name) !== undefined));
  if (tag !== undefined && typeof error.value === "object" && error.value !== null) {
    const given: unknown = Reflect.get(error.value, tag);
    const meant = variants.filter((one) => constOf(one, tag)?.includes(given));
    if (meant[0] !== undefined) return problemIn(meant[0], error.value, place) ?? `${place || "/"}: ${error.message}`;
    const known = [...new Set(variants.flatMap((one) => constOf(one, tag) ?? []))];
    return `${place}/${tag} is ${shown(given)}: there is ${known.join(", ")}`;
  }
  if (typeof error.value === "object" && error.value !== null) {
    // Kinds that are told apart by what they have: of expectations, one has SQL and the other a bundle.
    const { value } = error;
    const [meant, another] = variants.filter((one) => KindGuard.IsObject(one) && ownKeys(one, variants).some((key) => key in Object(value)));
    if (meant !== undefined && another === undefined) return problemIn(meant, value, place) ?? `${place || "/"}: ${error.message}`;
  }
  const literals = variants.flatMap((one) => (KindGuard.IsLiteral(one) ? [String(one.const)] : []));
  if (literals.length > 0 && literals.length === variants.length) return `${place} is ${shown(error.value)}: there is ${literals.join(", ")}`;
  if (/unexpected property/i.test(error.message)) return `${place} is not known there: remove it, or look whether its name is right`;
  if (error.value === undefined) return `${place} is missing`;
  return `${place || "/"} is ${shown(error.value)}: ${words(error.schema, error.message)}`;
}

function constOf(schema: TSchema, name: string): unknown[] | undefined {
  if (!KindGuard.IsObject(schema)) return undefined;
  const property: TSchema | undefined = (schema satisfies TObject).properties[name];
  if (property === undefined) return undefined;
  if (KindGuard.IsLiteral(property)) return [property.const];
  return KindGuard.IsUnion(property) ? property.anyOf.flatMap((one) => (KindGuard.IsLiteral(one) ? [one.const] : [])) : undefined;
}
/** What a kind requires and not all of the others do. */
function ownKeys(schema: TSchema, variants: readonly TSchema[]): string[] {
  const required = (one: TSchema): string[] => (KindGuard.IsObject(one) ? (one.required ?? []) : []);
  return required(schema).filter((key) => !variants.every((one) => required(one).includes(key)));
}
const shown = (value: unknown): string => (value === undefined ? "missing" : (JSON.stringify(value) ?? String(value)).slice(0, 120));

function words(schema: TSchema, message: string): string {
  const { pattern } = schema;
  if (pattern === "^[0-9]+(ms|s|m|h|d|w)$") return 'write a length of time, a whole number and one of ms, s, m, h, d, w, as "3h"';
  if (pattern === "^[0-9]+(MiB|GiB)$") return 'write a size, as "512MiB" or "4GiB"';
  if (typeof pattern === "string" && pattern.startsWith("^sha256:")) return "write a digest, sha256: and 64 hexadecimal digits";
  if (typeof pattern === "string" && pattern.startsWith("^[a-zA-Z]")) return 'write a name: a letter, then letters, digits, "_" and "-", at most 100';
  return message.charAt(0).toLowerCase() + message.slice(1);
}
