/** The payment service as its users run it: through the CLI and HTTP, with Python and PostgreSQL. Only the payments are simulated. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Endpoint, FeatureComparison, FeatureService, HistoricalFeatures, MonitorCheck, OnlineFeatures, Performance, Prediction } from "@millrace/sdk/api";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDays } from "./replay/days.js";
import { asked, booked, type Http, openHttp } from "./replay/http.js";
import { type Platform, project, startPlatform } from "./replay/platform.js";
import { writeFiles } from "./simulation/files.js";
import { day, openWorld, type Payment } from "./simulation/world.js";

const from = new Date("2026-01-01T00:00:00Z");
/** A Tuesday: the trigger that retrains on Mondays has a week's time. */
const today = new Date("2026-03-03T00:00:00Z");
const world = openWorld({ users: 350, from });
const arrivals = `arrivals/test-${process.pid}`;
const after = (moment: string, ms: number) => new Date(Date.parse(moment) + ms).toISOString();

let folder: string;
let platform: Platform;
let http: Http;
let days: ReturnType<typeof openDays>;

describe("the payments project", () => {
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "millrace-payments-"));
    const written = await writeFiles(world, { folder: path.join(project, arrivals), label: "2026-03-02", from, first: from, end: today });
    expect(written.transactions).toBeGreaterThan(18_000);
    platform = await startPlatform({ dataDir: path.join(folder, "data"), port: 0, from: today.toISOString(), arrivals });
    http = openHttp(platform.url);
    days = openDays({ http, world, folder: path.join(project, arrivals), from });
  }, 120_000);
  afterAll(async () => {
    http?.close();
    await platform?.stop();
    await rm(folder, { recursive: true, force: true });
    await rm(path.join(project, arrivals), { recursive: true, force: true });
  });

  it("trains and serves three models from views that they share", { timeout: 240_000 }, async () => {
    expect(await platform.cli(["apply", project])).toContain("feature service fraud_features");
    await http.post("/api/v1/triggers/retrain_fraud/pause");
    await days.look(today);
    // The data that came has credit and profile trained; fraud waits for its schedule, and is asked for here.
    await http.post("/api/v1/pipelines/fraud/runs", { params: {} });
    const runs = await days.runsOver();
    expect(
      runs.map((run) => ({ run: run.pipeline, state: run.state, message: run.message, version: run.modelVersion })).sort((a, b) => (a.run < b.run ? -1 : 1)),
    ).toEqual(["credit", "fraud", "profile"].map((run) => ({ run, state: "succeeded", message: null, version: `${run}/1` })));
    // An endpoint follows what was registered a moment after the run that did it.
    const stable = async () => (await http.get<{ items: Endpoint[] }>("/api/v1/endpoints")).items.map((one) => ({ name: one.name, stable: one.stable }));
    await expect.poll(stable, { timeout: 10_000 }).toEqual(["credit", "fraud", "profile"].map((name) => ({ name, stable: 1 })));
    const services = (await http.get<{ items: FeatureService[] }>("/api/v1/feature-services")).items;
    for (const view of ["user_spending", "user_profile", "user_repayments"]) {
      expect(services.filter((service) => service.views.includes(view)).flatMap((service) => service.usedBy.models)).toEqual(
        expect.arrayContaining(["credit", "fraud", "profile"].map((model) => ({ model, version: 1 }))),
      );
    }
  });

  it("counts a payment of a second ago in the score of the next one", async () => {
    const [payment] = world.payments(today);
    if (payment === undefined) throw new Error("Nobody paid today.");
    const next: Payment = { ...payment, at: after(payment.at, 1_000) };
    await http.score("fraud", [asked(payment)], "now");
    for (let twice = 0; twice < 2; twice++) await http.push("transactions", [booked(payment)]);
    await http.score("fraud", [asked(next)], "next");
    const [before, then] = await Promise.all(["now", "next"].map(async (id) => (await http.get<Prediction>(`/api/v1/predictions/${id}`)).features));
    for (const name of ["user_count_5m", "user_count_30d", "merchant_count_24h", "device_count_1h", "pair_count_30d"]) {
      expect(then?.[name], name).toBe(Number(before?.[name]) + 1);
    }
  });

  it("corrects what was written down wrong from the moment of the correction on, and not before", async () => {
    const corrections = (shop: { created_at: string; at: string }) => shop.created_at > shop.at;
    const [corrected] = Array.from({ length: 60 }, (_, i) => world.merchants(new Date(from.getTime() + i * day)))
      .flat()
      .filter(corrections);
    if (corrected === undefined) throw new Error("No merchant was corrected.");
    const row = { user_id: "u-000001", merchant_id: corrected.merchant_id, device_id: "d-none", amount: 10, channel: "store", distance_km: 1 };
    const moments = [after(corrected.created_at, -1_000), corrected.created_at];
    const rows = Object.fromEntries(Object.entries({ ...row, at: "" }).map(([name, value]) => [name, name === "at" ? moments : [value, value]]));
    const read = async (asOf: string) =>
      (await http.post<HistoricalFeatures>("/api/v1/feature-services/fraud_features/historical", { rows, asOf })).features.category;
    expect(await read("known")).toEqual(["other", corrected.category]);
    expect(await read("event_time")).toEqual([corrected.category, corrected.category]);
    const online = await Promise.all(
      moments.map(async (moment) => {
        const request = Object.fromEntries(Object.entries(rows).map(([name, values]) => [name, [values[0]]]));
        const found = await http.post<OnlineFeatures>("/api/v1/feature-services/fraud_features/online", { request: { ...request, at: [moment] } }, moment);
        return found.features.category?.[0];
      }),
    );
    expect(online).toEqual(["other", corrected.category]);
  });

  it("gives the same features online and offline, for all three models", { timeout: 120_000 }, async () => {
    const lived = [await days.live(today), await days.live(new Date(today.getTime() + day))];
    const noon = after(today.toISOString(), day / 2);
    const users = Array.from({ length: 100 }, (_, i) => `u-${String(i).padStart(6, "0")}`);
    await http.score(
      "credit",
      users.map((user_id, i) => ({ at: noon, user_id, amount: 100 + i })),
    );
    await http.score(
      "profile",
      users.map((user_id) => ({ at: noon, user_id })),
    );
    const scored = lived.reduce((sum, one) => sum + one.payments, 0);
    // With the two of the test before.
    for (const [model, rows] of Object.entries({ fraud: scored + 2, credit: 100, profile: 100 })) {
      const found = await http.post<FeatureComparison>(`/api/v1/feature-services/${model}_features/check`, { endpoint: model, sample: 10_000 });
      expect({ model, different: found.features.filter((one) => one.different > 0) }).toEqual({ model, different: [] });
      expect(found).toMatchObject({ rows, equal: rows });
    }
    expect(await platform.cli(["features", "check", "credit_features", "--endpoint", "credit"])).toContain("in 100 all features");
  });

  it("knows how well fraud was found a week later, when the labels have come", { timeout: 120_000 }, async () => {
    const dayAfter = (n: number) => new Date(today.getTime() + n * day);
    await days.advance(dayAfter(7));
    expect(await http.get<Performance[]>("/api/v1/monitors/fraud_outcomes/performance?by=day")).toEqual([]);
    const lived = [await days.live(dayAfter(7)), await days.live(dayAfter(8))];
    const performance = await http.get<Performance[]>("/api/v1/monitors/fraud_outcomes/performance?by=day");
    expect(performance.map((one) => one.period)).toEqual(["2026-03-03", "2026-03-04"]);
    const last = (await http.get<{ items: MonitorCheck[] }>("/api/v1/monitors/fraud_outcomes/checks")).items.at(-1);
    expect(last?.labelled).toBe(performance.reduce((sum, one) => sum + one.metrics.rows, 0));
    expect(last?.metrics.auc).toBeGreaterThan(0.85);
    expect(lived.every((one) => one.payments > 200)).toBe(true);
  });
});
