/** Which values a backfill has. */
import type { BackfillRange } from "@millrace/sdk/api";
import type { PlainValue } from "@millrace/sdk/spec";
import { invalid } from "../platform/index.js";

const most = 10_000;
const day = 86_400_000;

export async function valuesOf(range: BackfillRange, partitions: (dataset: string) => Promise<string[]>): Promise<PlainValue[]> {
  const values = await listed(range, partitions);
  if (values.length > most) throw invalid(`A backfill has at most ${most.toLocaleString("en")} values, and these are more. Do it in parts.`);
  if (values.length === 0 && range.kind === "partitions")
    throw invalid(`There are no partitions of "${range.dataset}" to go through: it has no accepted version yet, or its definition names no \`partition\`.`);
  const twice = values.find((value, i) => i > 0 && values.indexOf(value) < i);
  if (twice !== undefined) throw invalid(`The value ${JSON.stringify(twice)} is there twice.`);
  return values;
}

async function listed(range: BackfillRange, partitions: (dataset: string) => Promise<string[]>): Promise<PlainValue[]> {
  switch (range.kind) {
    case "months": {
      const [from, to] = [months(range.from), months(range.to)];
      inOrder(range.from, range.to, from <= to);
      return Array.from({ length: Math.min(to - from + 1, most + 1) }, (_, i) => {
        const [year, month] = [Math.floor((from + i) / 12), (from + i) % 12];
        return `${String(year).padStart(4, "0")}-${String(month + 1).padStart(2, "0")}`;
      });
    }
    case "dates": {
      const [from, to] = [date(range.from), date(range.to)];
      inOrder(range.from, range.to, from <= to);
      const step = (range.every ?? 1) * day;
      return Array.from({ length: Math.min(Math.floor((to - from) / step) + 1, most + 1) }, (_, i) => new Date(from + i * step).toISOString().slice(0, 10));
    }
    case "partitions":
      return partitions(range.dataset);
    case "values":
      return range.values;
  }
}

const months = (text: string): number => Number(text.slice(0, 4)) * 12 + Number(text.slice(5)) - 1;
function date(text: string): number {
  const at = Date.parse(`${text}T00:00:00Z`);
  if (Number.isNaN(at) || new Date(at).toISOString().slice(0, 10) !== text) throw invalid(`There is no day "${text}".`);
  return at;
}
function inOrder(from: string, to: string, right: boolean): void {
  if (!right) throw invalid(`"from" is ${from} and "to" is ${to}: the first is the earlier one. The order of the runs is "order".`);
}
