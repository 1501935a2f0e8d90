import { type Tensor, valueAt } from "../../inference/index.js";

/** In a form that JSON keeps: what it has no number for as text. */
export function plain(value: ReturnType<typeof valueAt>): string | number | boolean | null {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString("utf8") : value;
}
export function plainValues({ datatype, data }: Tensor): unknown[] {
  return Array.from({ length: data.length }, (_, at) => plain(valueAt(datatype, data, at)));
}
