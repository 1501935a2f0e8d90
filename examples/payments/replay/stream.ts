/**
 * Payments as they come on a busy day, at their own pace: each is scored when it is asked for, and pushed when it is booked. Says how long both took,
 * and how long it took until a read counts what was pushed. SIMULATED payments of users that no file speaks of; the server runs on the machine's clock.
 *   --url URL      default MILLRACE_URL or http://127.0.0.1:4600
 *   --rate N       payments a second, default 150
 *   --burst N      payments a second for --burst-seconds in the middle, default 1500
 *   --seconds N    default 60
 *   --burst-seconds N default 3
 * Times count from when a payment was due, also where the server or this client is late.
 */
import { parseArgs } from "node:util";
import type { OnlineFeatures } from "@millrace/sdk/api";
import { day, openWorld, type Payment } from "../simulation/world.js";
import { asked, booked, type Cell, openHttp } from "./http.js";

const { values } = parseArgs({
  options: {
    url: { type: "string", default: process.env.MILLRACE_URL ?? "http://127.0.0.1:4600" },
    rate: { type: "string", default: "150" },
    burst: { type: "string", default: "1500" },
    seconds: { type: "string", default: "60" },
    "burst-seconds": { type: "string", default: "3" },
  },
});
/** One payment in so many is read back as soon as its push is answered. */
const readEach = 10;
/** A day of them is some 16,000 payments. */
const users = 20_000;

interface Times {
  score: number[];
  push: number[];
  /** From when the push began until a read that counts it was answered. */
  seen: number[];
  /** Reads that did not count what had been pushed. */
  unseen: number;
  failed: number;
  firstFailure: string | undefined;
}
const noTimes = (): Times => ({ score: [], push: [], seen: [], unseen: 0, failed: 0, firstFailure: undefined });

async function main(): Promise<void> {
  const [rate, burst, seconds, burstSeconds] = [values.rate, values.burst, values.seconds, values["burst-seconds"]].map(Number);
  if (!(rate && burst && seconds && burstSeconds !== undefined && burstSeconds >= 0 && burstSeconds <= seconds))
    throw new Error("The flags take numbers above 0.");
  const http = openHttp(values.url, 128);
  const today = new Date(Math.floor(Date.now() / day) * day);
  const world = openWorld({ users, firstUser: 500_000, from: new Date(today.getTime() - 60 * day) });
  const peak = [(seconds - burstSeconds) / 2, (seconds + burstSeconds) / 2] as const;
  /** When each is due, in seconds from the start. */
  const due: number[] = [];
  for (let at = 0; at < seconds; at += 1 / (at >= peak[0] && at < peak[1] ? burst : rate)) due.push(at);
  const payments: Payment[] = [];
  for (let n = 1; payments.length < due.length; n++) payments.push(...world.payments(new Date(today.getTime() - n * day)));
  // In no order of theirs: a night's payments would be stolen ones.
  payments.sort((a, b) => ((a.amount * 7919) % 1) - ((b.amount * 7919) % 1));

  const [calm, busy] = [noTimes(), noTimes()];
  const under: Promise<void>[] = [];
  const began = performance.now();
  const start = Date.now();
  for (const [i, at] of due.entries()) {
    const wait = at * 1_000 - (performance.now() - began);
    if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait));
    const payment = payments[i];
    if (payment === undefined) break;
    const moment = start + at * 1_000;
    const now = { ...payment, at: new Date(moment).toISOString(), transaction_id: `t-live-${start}-${i}` };
    under.push(one(now, began + at * 1_000, i % readEach === 0, at >= peak[0] && at < peak[1] ? busy : calm));
  }
  await Promise.all(under);
  const lasted = (performance.now() - began) / 1_000;
  process.stdout.write(`${due.length.toLocaleString("en")} payments in ${lasted.toFixed(1)} s\n`);
  report(`${rate}/s`, calm);
  if (burstSeconds > 0) report(`${burst}/s`, busy);
  http.close();

  async function one(payment: Payment, dueAt: number, read: boolean, times: Times): Promise<void> {
    try {
      await http.score("fraud", [asked(payment)], payment.transaction_id);
      times.score.push(performance.now() - dueAt);
      const pushing = performance.now();
      // Booked now, and not a little later as in the files, so that a read can be asked at once whether it counts it.
      await http.push("transactions", [booked({ ...payment, booked_at: new Date().toISOString() })]);
      times.push.push(performance.now() - pushing);
      if (!read) return;
      const seen = await count(payment);
      times.seen.push(performance.now() - pushing);
      if (seen < 1) times.unseen++;
    } catch (error) {
      times.failed++;
      times.firstFailure ??= (error as Error).message;
    }
  }
  async function count(payment: Payment): Promise<number> {
    const row: Record<string, Cell> = asked(payment);
    const request = Object.fromEntries(Object.entries(row).map(([name, value]) => [name, [value]]));
    const found = await http.post<OnlineFeatures>("/api/v1/feature-services/fraud_features/online", { request });
    return Number(found.features.user_count_5m?.[0]);
  }
}

function report(rate: string, times: Times): void {
  const line = (what: string, all: number[]) => {
    const sorted = [...all].sort((a, b) => a - b);
    const at = (share: number) => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN).toFixed(1);
    process.stdout.write(`  ${what.padEnd(34)} p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, of ${sorted.length.toLocaleString("en")}\n`);
  };
  process.stdout.write(`at ${rate}: ${times.failed} failed${times.firstFailure === undefined ? "" : ` (${times.firstFailure})`}, ${times.unseen} not seen\n`);
  line("scored", times.score);
  line("pushed to every view", times.push);
  line("from push to a read that counts it", times.seen);
}

main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
