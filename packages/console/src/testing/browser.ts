import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type BrowserContextOptions, chromium } from "playwright-core";

export const browserPath = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
  (file) => file !== undefined && existsSync(file),
);

/**
 * A browser with a page. `wrong` gathers what goes wrong in the page: what it throws, and what its console calls an error, but for what is `expected`. It is the
 * tests' to look at, and to empty.
 */
export async function openBrowser({ patienceMs, expected, ...options }: { patienceMs: number; expected?: RegExp } & BrowserContextOptions) {
  const browser = await chromium.launch({ ...(browserPath === undefined ? {} : { executablePath: browserPath }), args: ["--no-sandbox", "--disable-gpu"] });
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  const wrong: string[] = [];
  page.setDefaultTimeout(patienceMs);
  page.on("console", (message) => message.type() === "error" && expected?.test(message.text()) !== true && wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(error.message));
  return { page, wrong, close: () => browser.close() };
}

const folder = fileURLToPath(new URL("../..", import.meta.url));
/** The folder of the console's built files. They are built where they are not there. */
export function builtConsole(): string {
  const built = path.join(folder, "dist");
  if (existsSync(path.join(built, "index.html"))) return built;
  const vite = path.join(path.dirname(createRequire(import.meta.url).resolve("vite/package.json")), "bin/vite.js");
  const { status, stderr } = spawnSync(process.execPath, [vite, "build", "--logLevel", "warn"], { cwd: folder, encoding: "utf8" });
  if (status !== 0) throw new Error(`The console could not be built: ${stderr}`);
  return built;
}

/** A real server in a process of its own, with the console on it. */
export async function startRealServer(): Promise<{ url: string; stop(): Promise<void> }> {
  const dataDir = await mkdtemp(path.join(tmpdir(), "millrace-console-"));
  const config = { host: "127.0.0.1", port: 0, dataDir, clock: { kind: "system" }, logLevel: "warn", consoleFolder: builtConsole() };
  const code = `
    const { startServer } = await import(${JSON.stringify(new URL("../../../server/src/server.ts", import.meta.url).href)});
    const server = await startServer(${JSON.stringify(config)});
    process.once("SIGTERM", () => server.stop().then(() => process.exit(0)));
    console.log(server.url);`;
  const child = spawn(process.execPath, ["--import", "tsx", "--conditions=millrace-source", "--input-type=module", "--eval", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout });
  const url = await new Promise<string>((resolve, reject) => {
    lines.once("line", resolve);
    child.once("exit", (status) => reject(new Error(`The server ended with ${status} at its start.`)));
  });
  return {
    url,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, "exit");
        child.kill("SIGTERM");
        await ended;
      }
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
