/** A line of a log with its colours, as pieces of text: nothing in it is ever read as markup. */

export interface Piece {
  text: string;
  /** A CSS colour. */
  color?: string;
  background?: string;
  bold?: boolean;
  dim?: boolean;
  italic?: boolean;
  underline?: boolean;
}
// Those of the theme, so that they can be read on light and on dark.
const named = ["var(--muted)", "var(--bad)", "var(--ok)", "var(--warn)", "var(--info)", "var(--magenta)", "var(--accent)", "var(--ink)"];
// Colours and what else a terminal would do: move its cursor, set its title.
// biome-ignore lint/suspicious/noControlCharactersInRegex: escapes begin with one
const escapes = /\u001b(?:\[([0-9;:?<=>]*)[ -/]*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they have no shape
const unseen = /[\u0000-\u0008\u000b-\u001f\u007f]/g;

export function piecesOf(line: string): Piece[] {
  // What a progress bar drew over itself: the last state of the line.
  const text = line.replace(/\r+$/, "");
  const shown = text.includes("\r") ? text.slice(text.lastIndexOf("\r") + 1) : text;
  const pieces: Piece[] = [];
  let style: Omit<Piece, "text"> = {};
  let at = 0;
  const push = (raw: string) => {
    const clean = raw.replace(unseen, "");
    if (clean !== "") pieces.push({ text: clean, ...style });
  };
  for (const match of shown.matchAll(escapes)) {
    push(shown.slice(at, match.index));
    at = match.index + match[0].length;
    if (match[2] === "m") style = styled(style, match[1] ?? "");
  }
  push(shown.slice(at));
  return pieces;
}
export const plainOf = (line: string): string =>
  line.includes("\u001b") || line.includes("\r")
    ? piecesOf(line)
        .map((piece) => piece.text)
        .join("")
    : line.replace(unseen, "");

function styled(before: Omit<Piece, "text">, codes: string): Omit<Piece, "text"> {
  const numbers = codes.split(/[;:]/).map(Number);
  let style = { ...before };
  for (let i = 0; i < numbers.length; i++) {
    const code = numbers[i] ?? 0;
    if (code === 0) style = {};
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 22) {
      delete style.bold;
      delete style.dim;
    } else if (code === 23) delete style.italic;
    else if (code === 24) delete style.underline;
    else if (code === 39) delete style.color;
    else if (code === 49) delete style.background;
    else if (code === 38 || code === 48) {
      const wide = numbers[i + 1] === 5;
      const color = wide ? indexed(numbers[i + 2] ?? 0) : numbers[i + 1] === 2 ? rgb(numbers.slice(i + 2, i + 5)) : undefined;
      if (color !== undefined) style[code === 38 ? "color" : "background"] = color;
      i += wide ? 2 : 4;
    } else {
      const foreground = within(code, 30) ?? within(code, 90);
      const behind = within(code, 40) ?? within(code, 100);
      if (foreground !== undefined) style.color = foreground;
      if (behind !== undefined) style.background = `color-mix(in srgb, ${behind} 25%, transparent)`;
    }
  }
  return style;
}
const within = (code: number, from: number): string | undefined => (code >= from && code < from + 8 ? named[code - from] : undefined);
const part = (of: number | undefined): number => Math.max(0, Math.min(255, Math.trunc(of ?? 0) || 0));
const rgb = (of: number[]): string => `rgb(${part(of[0])} ${part(of[1])} ${part(of[2])})`;
/** Of 256: the 16 of the theme, a cube of 216, 24 greys. */
function indexed(index: number): string | undefined {
  if (index < 16) return named[index % 8];
  if (index < 232)
    return rgb([Math.floor((index - 16) / 36), Math.floor((index - 16) / 6) % 6, (index - 16) % 6].map((level) => (level === 0 ? 0 : 55 + 40 * level)));
  return index < 256 ? rgb(Array.from({ length: 3 }, () => 8 + 10 * (index - 232))) : undefined;
}
