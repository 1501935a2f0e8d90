/** A line of RFC 4180. A text that a spreadsheet would take for a formula begins with an apostrophe, so that it stays a text. */
export const csvLine = (cells: (string | number)[]): string => `${cells.map(csvCell).join(",")}\r\n`;

function csvCell(value: string | number): string {
  if (typeof value === "number") return String(value);
  // A number with a sign is no formula.
  const harmless = !/^[=+\-@\t\r\n]/.test(value) || /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(value) || /^-?Infinity$/.test(value);
  const safe = harmless ? value : `'${value}`;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
