/** The filter as it is being typed: what may stand at the caret. The server alone says what a filter means, and what of it is wrong. */
export type Expected = "name" | "operator" | "value" | "list" | "values" | "connector";
export interface Caret {
  expected: Expected;
  /** What has been typed of it, and where that begins. */
  typed: string;
  from: number;
  /** The name that the operator or the value belongs to. */
  name: string | undefined;
}
interface Token {
  kind: "name" | "quoted" | "number" | "compare" | "is" | "like" | "in" | "and" | "or" | "open" | "close" | "comma" | "other";
  text: string;
  at: number;
  /** A quote that is not closed yet. */
  unfinished?: boolean;
}
const patterns: [Token["kind"], RegExp][] = [
  ["and", /and\b/iy],
  ["or", /or\b/iy],
  ["is", /is\s+(?:not\s+)?null\b/iy],
  ["like", /i?like\b/iy],
  ["in", /(?:not\s+)?in\b/iy],
  ["name", /(?:[a-zA-Z_]\w*|`[^`]*`)(?:\.(?:"[^"]*"|`[^`]*`|[\p{L}\p{N}_./:-]*))?/uy],
  ["quoted", /"[^"]*"|'(?:[^']|'')*'/y],
  ["compare", /<=|>=|!=|=|<|>/y],
  ["open", /\(/y],
  ["close", /\)/y],
  ["comma", /,/y],
  ["number", /[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d*)?/iy],
];

export function tokens(text: string): Token[] {
  const found: Token[] = [];
  for (let at = 0; at < text.length; ) {
    if (/\s/.test(text[at] ?? "")) {
      at++;
      continue;
    }
    const token = tokenAt(text, at);
    found.push(token);
    at += token.text.length;
  }
  return found;
}
function tokenAt(text: string, at: number): Token {
  // A key or a text in quotes that are still open goes on to the end.
  const open = /(?:[a-zA-Z_]\w*\.)?["'`]/y;
  for (const [kind, pattern] of patterns) {
    pattern.lastIndex = at;
    const match = pattern.exec(text)?.[0];
    if (match === undefined) continue;
    if (kind === "name" && match.endsWith(".") && /["`]/.test(text[at + match.length] ?? "")) break;
    return { kind, text: match, at };
  }
  open.lastIndex = at;
  if (open.test(text)) return { kind: /^['"]/.test(text.slice(at)) ? "quoted" : "name", text: text.slice(at), at, unfinished: true };
  return { kind: "other", text: text[at] ?? "", at };
}

/** What may come at the caret, after what stands before it. */
export function caretOf(text: string, caret: number): Caret {
  const before = tokens(text.slice(0, caret));
  const last = before.at(-1);
  // What the caret touches is still being typed.
  const touched =
    last !== undefined && last.at + last.text.length === caret && ["name", "quoted", "number", "and", "or", "like", "in", "is", "other"].includes(last.kind);
  const whole = touched && (last.kind !== "quoted" || last.unfinished === true) ? before.slice(0, -1) : before;
  const typed = whole.length < before.length ? (last?.text ?? "") : "";
  let expected: Expected = "name";
  let name: string | undefined;
  for (const token of whole) {
    if (expected === "name") {
      if (token.kind === "name") [expected, name] = ["operator", token.text];
    } else if (expected === "operator") {
      if (token.kind === "compare" || token.kind === "like") expected = "value";
      else if (token.kind === "in") expected = "list";
      else if (token.kind === "is") expected = "connector";
    } else if (expected === "value") expected = "connector";
    else if (expected === "list") expected = "values";
    else if (expected === "values") {
      if (token.kind === "close") expected = "connector";
    } else if (token.kind === "and" || token.kind === "or") [expected, name] = ["name", undefined];
  }
  return { expected, typed, from: caret - typed.length, name };
}

/** `params.lr` of `params."lr"`, `param.lr` and the like: as the server names its columns. */
export function columnOf(name: string): { group: string; key: string } {
  const at = name.indexOf(".");
  if (at === -1) return { group: "attributes", key: bare(name) };
  const kind = bare(name.slice(0, at));
  const plural: Record<string, string> = {
    attribute: "attributes",
    attr: "attributes",
    run: "attributes",
    metric: "metrics",
    param: "params",
    parameter: "params",
    parameters: "params",
    tag: "tags",
    dataset: "datasets",
  };
  return { group: plural[kind] ?? kind, key: bare(name.slice(at + 1)) };
}
const bare = (text: string): string => text.replace(/^["`]/, "").replace(/["`]$/, "");
export const quotedText = (value: string): string => `'${value.replaceAll("'", "''")}'`;
