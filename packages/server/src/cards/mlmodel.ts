/** What MLflow's clients write beside a model: its flavour, signature and requirements. */
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { parse } from "yaml";
import type { Digest, ObjectStore } from "../platform/index.js";

interface File {
  path: string;
  digest: string;
  size: number;
}
interface Field {
  name: string;
  type: string;
}
export interface Saved {
  flavour: string | null;
  python: string | null;
  signature: { inputs: Field[]; outputs: Field[] } | null;
}

const largest = 1024 * 1024;
const mostFields = 2_000;

/** A small text among a version's files; undefined where there is none, or none that is small. */
export async function smallText(objects: Pick<ObjectStore, "read">, file: File | undefined): Promise<string | undefined> {
  if (file === undefined || file.size > largest) return undefined;
  const parts: Buffer[] = [];
  for await (const part of await objects.read(file.digest as Digest)) parts.push(part);
  return Buffer.concat(parts).toString("utf8");
}

const Flavours = Type.Record(Type.String(), Type.Unknown());
const PythonFunction = Type.Object({ python_version: Type.Optional(Type.String()) });
const Signature = Type.Object({ inputs: Type.Optional(Type.Unknown()), outputs: Type.Optional(Type.Unknown()) });

/** Whatever of the file can't be read is as if it were not said: clients write it. */
export function readMlmodel(text: string): Saved {
  let whole: unknown;
  try {
    whole = parse(text, { maxAliasCount: 100 });
  } catch {
    whole = undefined;
  }
  const at = (key: string): unknown => (typeof whole === "object" && whole !== null ? Reflect.get(whole, key) : undefined);
  const flavours = at("flavors");
  const known = Value.Check(Flavours, flavours) ? flavours : {};
  const own = Object.keys(known).find((name) => name !== "python_function");
  const pyfunc = known.python_function;
  const signature = at("signature");
  return {
    flavour: own ?? (pyfunc === undefined ? null : "pyfunc"),
    python: Value.Check(PythonFunction, pyfunc) ? (pyfunc.python_version ?? null) : null,
    signature: Value.Check(Signature, signature) ? { inputs: fieldsOf(signature.inputs), outputs: fieldsOf(signature.outputs) } : null,
  };
}

const Column = Type.Object({ name: Type.Optional(Type.String()), type: Type.String(), required: Type.Optional(Type.Boolean()) });
const Tensor = Type.Object({
  name: Type.Optional(Type.String()),
  type: Type.Literal("tensor"),
  "tensor-spec": Type.Object({ dtype: Type.String(), shape: Type.Array(Type.Integer(), { maxItems: 32 }) }),
});
function fieldsOf(written: unknown): Field[] {
  let list: unknown;
  try {
    list = typeof written === "string" ? JSON.parse(written) : written;
  } catch {
    list = undefined;
  }
  if (!Array.isArray(list)) return [];
  return list.slice(0, mostFields).flatMap((one: unknown, index): Field[] => {
    if (Value.Check(Tensor, one)) {
      const { dtype, shape } = one["tensor-spec"];
      return [{ name: one.name ?? String(index), type: `${dtype}[${shape.join(", ")}]` }];
    }
    if (Value.Check(Column, one)) return [{ name: one.name ?? String(index), type: `${one.type}${one.required === false ? ", optional" : ""}` }];
    return [];
  });
}
