/** The JSON of a request for inference, with the lists of its inputs left where they lie: their numbers are read once it is known what they are. */

/** Where a list lies in a body: from its `[` until just behind its `]`. */
export interface Place {
  from: number;
  to: number;
}
export interface Scanned {
  /** The JSON with the number of its list in the place of each input's `data`. */
  text: string;
  lists: Place[];
}

const [quote, backslash, colon, openList, closeList, openObject, closeObject] = [0x22, 0x5c, 0x3a, 0x5b, 0x5d, 0x7b, 0x7d];
const deepest = 32;
const [inputsKey, dataKey] = [Buffer.from("inputs"), Buffer.from("data")];

/** Undefined where it is no such JSON as clients write: whoever reads all of it says what is wrong. */
export function scan(body: Buffer, length: number): Scanned | undefined {
  const lists: Place[] = [];
  let text = "";
  let copied = 0;
  let depth = 0;
  const kinds = new Uint8Array(deepest + 1);
  let inInputs = false;
  let at = 0;
  while (at < length) {
    const byte = body[at] ?? 0;
    if (byte === openObject || byte === openList) {
      if (++depth > deepest) return undefined;
      kinds[depth] = byte;
    } else if (byte === closeObject || byte === closeList) depth--;
    else if (byte === quote) {
      const from = at + 1;
      at = from;
      for (;;) {
        const letter = body[at];
        if (letter === quote) break;
        // A name that is written otherwise than it is might be one that matters here.
        if (letter === undefined || letter === backslash || at >= length) return undefined;
        at++;
      }
      const end = at++;
      while (isBlank(body[at])) at++;
      if (body[at] !== colon) continue;
      at++;
      if (depth === 1) inInputs = is(body, from, end, inputsKey);
      else if (depth === 3 && inInputs && kinds[2] === openList && kinds[3] === openObject && is(body, from, end, dataKey)) {
        while (isBlank(body[at])) at++;
        if (body[at] !== openList) return undefined;
        const to = endOfList(body, at, length);
        if (to === undefined) return undefined;
        text += `${body.toString("utf8", copied, at)}${lists.length}`;
        lists.push({ from: at, to });
        copied = to;
        at = to;
      }
      continue;
    }
    at++;
  }
  return { text: text + body.toString("utf8", copied, length), lists };
}

const isBlank = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
function is(body: Buffer, from: number, to: number, key: Buffer): boolean {
  if (to - from !== key.length) return false;
  for (let at = 0; at < key.length; at++) if (body[from + at] !== key[at]) return false;
  return true;
}

function endOfList(body: Buffer, from: number, length: number): number | undefined {
  const first = body.indexOf(closeList, from);
  if (first < 0 || first >= length) return undefined;
  // Without lists or texts in it: the next one lies behind it.
  if (isBehind(body.indexOf(openList, from + 1), first) && isBehind(body.indexOf(quote, from + 1), first)) return first + 1;
  let depth = 0;
  for (let at = from; at < length; at++) {
    const byte = body[at];
    if (byte === openList) {
      if (++depth > deepest) return undefined;
    } else if (byte === closeList) {
      if (--depth === 0) return at + 1;
    } else if (byte === quote) {
      at++;
      while (body[at] !== quote) {
        if (body[at] === backslash) at++;
        if (++at >= length) return undefined;
      }
    }
  }
  return undefined;
}
const isBehind = (at: number, end: number): boolean => at < 0 || at > end;
