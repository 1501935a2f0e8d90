/** What names and values may be: MLflow's rules, so that what one server keeps another one takes. */
import { invalidValue } from "./errors.js";
import type { KeyValue } from "./types.js";

export const largest = {
  key: 250,
  param: 6_000,
  tag: 8_000,
  experimentTag: 20_000,
  registryTag: 100_000,
  name: 500,
  batch: { metrics: 1_000, params: 100, tags: 100, together: 1_000 },
};

/** A key is shown as a path by some clients: it must not lead to another one. */
export function checkKey(key: string, what: string): void {
  // Nearly all keys are of this plain kind, and batches hold a thousand.
  if (key.length <= largest.key && /^[A-Za-z0-9_][A-Za-z0-9_.\- :]*$/.test(key)) return;
  const segments = key.split("/");
  const bad = !/^[/\p{L}\p{N}_.\- :]+$/u.test(key) || segments.some((segment) => segment === "" || segment === "." || segment === "..");
  if (key.length <= largest.key && !bad) return;
  throw invalidValue(
    `Invalid value "${key.slice(0, 300)}" for parameter '${what}' supplied: Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/), at most ${largest.key} characters, and must not resolve to other names when treated as paths.`,
  );
}
/** Cut to its first characters, as MLflow does with what is longer than it keeps. */
export function cut(value: string, most: number): string {
  return value.length <= most ? value : [...value].slice(0, most).join("");
}
export const cutParams = (params: KeyValue[]): KeyValue[] => checked(params, "param", largest.param);
export const cutTags = (tags: KeyValue[]): KeyValue[] => checked(tags, "tag", largest.tag);
function checked(list: KeyValue[], what: string, most: number): KeyValue[] {
  return list.map(({ key, value }) => {
    checkKey(key, what);
    return { key, value: cut(value, most) };
  });
}
export function checkTags(tags: KeyValue[], most: number): void {
  for (const { key, value } of tags) {
    checkKey(key, "tag");
    if (value.length > most) throw invalidValue(`The value of the tag '${key}' exceeds the maximum length of ${most} characters.`);
  }
}
export function checkStrings(list: { what: string; value: string | undefined; most: number }[]): void {
  for (const { what, value, most } of list) {
    if (value !== undefined && value.length > most) throw invalidValue(`'${what}' exceeds the maximum length of ${most} characters.`);
  }
}
