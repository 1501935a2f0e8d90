/** What commands print: results on standard output, the rest on standard error. */

export const print = (text: string): void => void process.stdout.write(`${text}\n`);
export const tell = (text: string): void => void process.stderr.write(`${text}\n`);
export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2));

/** Rows under a heading, in columns as wide as needed. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [heading, ...rows];
  const widths = heading.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** `3 days ago` is another moment's truth: a time as it is, to the second. */
export const time = (iso: string | null | undefined): string => (iso ? `${iso.slice(0, 19).replace("T", " ")}Z` : "-");

export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return "-";
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  return minutes < 60 ? `${minutes} min ${Math.floor((ms % 60_000) / 1_000)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** In the order of their names, those of the champion after all others. */
export function metrics(values: Readonly<Record<string, number | null>>): string {
  const order = (name: string) => `${name.startsWith("champion_") ? 1 : 0}${name}`;
  return Object.entries(values)
    .sort(([a], [b]) => (order(a) < order(b) ? -1 : 1))
    .map(([name, value]) => `${name} ${value === null ? "-" : Number(value.toPrecision(5))}`)
    .join("  ");
}
export const count = (n: number): string => n.toLocaleString("en");

export function bytes(n: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let value = n;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}
