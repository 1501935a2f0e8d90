/** The days of the simulated service as its clients live them: payments are pushed and scored, files arrive, labels come a week late. */
import type { Run } from "@millrace/sdk/api";
import { writeFiles } from "../simulation/files.js";
import { day, type Payment, settledAfter, type World } from "../simulation/world.js";
import { asked, booked, type Http } from "./http.js";

/** In one request, which one version answers: small, so that a canary gets its share of a day. */
const atOnce = 20;

export interface LivedDay {
  date: string;
  payments: number;
  /** Payments by the version that scored them. */
  versions: Map<number, number>;
}

export function openDays({ http, world, folder, from }: { http: Http; world: World; folder: string; from: Date }) {
  /** What was scored, by the day on which it is settled. */
  const unsettled = new Map<number, { id: string; label: boolean }[]>();

  const advance = (to: Date) => http.post("/api/v1/clock", { to: to.toISOString() });
  /** A watched file is taken once it has stopped growing: looked at twice, a minute apart. */
  async function look(at: Date): Promise<void> {
    for (const minutes of [1, 2]) await advance(new Date(at.getTime() + minutes * 60_000));
  }

  /**
   * Payments of a day count from their own moments on, and are scored as of theirs: pushed ahead, they give what one after the other would,
   * only sooner. Then the day is over, its files are there, and what was scored a week ago has its labels.
   */
  async function live(date: Date): Promise<LivedDay> {
    const payments = world.payments(date);
    const versions = new Map<number, number>();
    await Promise.all([
      http.push("transactions", payments.map(booked)),
      // Online they are known at once, as they are in training: brought by a file at night they would not be, and features would differ.
      http.push("repayments", world.repayments(date)),
      http.push("profiles", world.profiles(date)),
      http.push("merchants", world.merchants(date)),
    ]);
    const known: { id: string; label: boolean }[] = [];
    for (let i = 0; i < payments.length; i += atOnce) {
      const part: Payment[] = payments.slice(i, i + atOnce);
      const scored = await http.score("fraud", part.map(asked), `${part[0]?.transaction_id}`);
      for (const [row, { id, version }] of scored.entries()) {
        versions.set(version, (versions.get(version) ?? 0) + 1);
        known.push({ id, label: part[row]?.fraud === true });
      }
    }
    unsettled.set(date.getTime() + settledAfter, known);
    const end = new Date(date.getTime() + day);
    await writeFiles(world, { folder, label: date.toISOString().slice(0, 10), from, first: date, end });
    const labels = unsettled.get(date.getTime());
    unsettled.delete(date.getTime());
    if (labels !== undefined && labels.length > 0) await http.post("/api/v1/endpoints/fraud/labels", { labels }, end.toISOString());
    await advance(end);
    await look(end);
    return { date: date.toISOString().slice(0, 10), payments: payments.length, versions };
  }

  /** Waits until no run is under way. Answers those that were. */
  async function runsOver(): Promise<Run[]> {
    const seen = new Set<string>();
    for (;;) {
      const { items } = await http.get<{ items: Run[] }>("/api/v1/runs?state=active");
      for (const { id } of items) seen.add(id);
      if (items.length === 0) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return Promise.all([...seen].map((id) => http.get<Run>(`/api/v1/runs/${id}`)));
  }
  return { live, look, advance, runsOver };
}
