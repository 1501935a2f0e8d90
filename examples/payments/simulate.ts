/**
 * Writes the past of a SIMULATED payment service into the folder that the project watches (simulation/world.ts says what is made to happen in it).
 *   --users N      default 400: some 330 payments a day
 *   --days N       default 60
 *   --until DATE   the day after the last one, default today; in UTC
 *   --change DATE  from this day on the rings steal in another way; default never
 *   --seed N       default 1: equal options write equal rows
 *   --out FOLDER   default arrivals, beside this file
 * 400 users and 60 days are 20,000 payments; 20,000 users and 90 days 1.5 million.
 */
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { tableNames, writeFiles } from "./simulation/files.js";
import { day, openWorld } from "./simulation/world.js";

const { values } = parseArgs({
  options: {
    users: { type: "string", default: "400" },
    days: { type: "string", default: "60" },
    until: { type: "string", default: new Date().toISOString().slice(0, 10) },
    change: { type: "string" },
    seed: { type: "string", default: "1" },
    out: { type: "string", default: fileURLToPath(new URL("arrivals", import.meta.url)) },
  },
});

async function main(): Promise<void> {
  const [users, days, seed] = [whole("users", values.users, 20, 1_000_000), whole("days", values.days, 45, 3_650), whole("seed", values.seed, 0, 2 ** 31)];
  const until = date("until", values.until);
  const from = new Date(until.getTime() - days * day);
  const world = openWorld({ seed, users, from, ...(values.change === undefined ? {} : { change: date("change", values.change) }) });
  const folder = path.resolve(values.out);
  const written = new Map(tableNames.map((name) => [name, 0]));
  // A file a month, as a service would send them, and so that a large world needs little memory.
  for (let first = from; first < until; ) {
    const end = new Date(Math.min(Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + 1, 1), until.getTime()));
    const rows = await writeFiles(world, { folder, label: first.toISOString().slice(0, 7), from, first, end });
    for (const name of tableNames) written.set(name, (written.get(name) ?? 0) + rows[name]);
    first = end;
  }
  process.stdout.write(`Simulated payments of ${users} users from ${from.toISOString().slice(0, 10)} to ${until.toISOString().slice(0, 10)}, in ${folder}:\n`);
  for (const [name, rows] of written) process.stdout.write(`  ${name.padEnd(13)} ${rows.toLocaleString("en")} rows\n`);
}

function whole(name: string, text: string, min: number, max: number): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < min || number > max) throw new Error(`--${name} takes a whole number from ${min} to ${max}, not "${text}".`);
  return number;
}
function date(name: string, text: string): Date {
  const found = new Date(`${text}T00:00:00Z`);
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text) || Number.isNaN(found.getTime())) throw new Error(`--${name} takes a date as 2026-03-01, not "${text}".`);
  return found;
}

main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
