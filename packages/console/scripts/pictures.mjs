// Takes the pictures of docs/images from a server that runs: node packages/console/scripts/pictures.mjs --url http://127.0.0.1:4600
// It is the demo's, after its year. For the picture of environments a version goes through them first, and then a release:
//   bin/millrace promote delay/<champion> --to dev --wait && bin/millrace promote delay/<champion> --to staging --wait && bin/millrace approve <promotion>
// Rates and latencies are of the last minute: what is to be seen of them has just been asked for.
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values } = parseArgs({ options: { url: { type: "string", default: "http://127.0.0.1:4600" }, out: { type: "string" } } });
const url = values.url.replace(/\/$/, "");
const folder = values.out ?? fileURLToPath(new URL("../../../docs/images", import.meta.url));
mkdirSync(folder, { recursive: true });
const executablePath = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
  (file) => file && existsSync(file),
);
if (executablePath === undefined) throw new Error("No Chromium is here: name one in CHROMIUM.");

const list = async (what) => {
  const response = await fetch(`${url}/api/v1/${what}`);
  return response.ok ? (await response.json()).items : [];
};
const [runs, models, endpoints, monitors, promotions] = await Promise.all(["runs?limit=200", "models", "endpoints", "monitors", "promotions"].map(list));
// Those with most to see.
const endpoint = endpoints.toSorted((a, b) => b.predictions - a.predictions)[0];
const rollouts = endpoint === undefined ? [] : await list(`endpoints/${endpoint.name}/rollouts?limit=100`);
// One that went back has more to tell.
const rollout = rollouts.find((one) => one.state === "rolled_back") ?? rollouts[0];
const model = models.find((one) => one.name === endpoint?.model) ?? models[0];
const monitor = monitors.toSorted((a, b) => b.checks - a.checks)[0];
const run = runs.find((one) => one.state === "succeeded" && one.modelVersion !== null) ?? runs[0];
const pictures = [
  ["loop", "/"],
  ["loop-dark", "/"],
  ["run", run && `/runs/${run.id}?step=${encodeURIComponent(await shown(run.id))}&tab=outputs`],
  ["model", model && `/models/${model.name}`],
  ["model-card", model && `/api/v1/models/${model.name}/versions/${model.latest.version}/card?format=html`],
  ["endpoint", endpoint && `/endpoints/${endpoint.name}`],
  ["rollout", rollout && `/endpoints/${endpoint.name}?rollout=${encodeURIComponent(rollout.id)}&tab=history`],
  ["delivery", promotions.length > 0 && "/delivery", 540],
  ["monitor", monitor && `/monitors/${monitor.name}`],
];
/** A step whose table can be read. */
async function shown(id) {
  const { spec } = await (await fetch(`${url}/api/v1/runs/${id}`)).json();
  return (spec.nodes.find((node) => node.kind === "historical_features") ?? spec.nodes.find((node) => node.kind === "python"))?.id ?? "";
}

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
try {
  for (const [name, address, height = 900] of pictures) {
    if (!address) {
      process.stdout.write(`${name}: nothing to show on this server\n`);
      continue;
    }
    const page = await browser.newPage({ viewport: { width: 1440, height }, colorScheme: name.endsWith("-dark") ? "dark" : "light" });
    await page.goto(url + address);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.waitForFunction(() => document.body.innerText.length > 400 && !document.body.innerText.includes("Loading…"));
    // Graphs and charts are drawn after their data: until the picture stands still.
    for (let last = "", i = 0; i < 20; i++) {
      const now = (await page.screenshot()).toString("base64");
      if (now === last) break;
      last = now;
    }
    await page.screenshot({ path: path.join(folder, `${name}.png`) });
    await page.close();
    process.stdout.write(`${name}.png\n`);
  }
} finally {
  await browser.close();
}
