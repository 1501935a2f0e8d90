/** Spans of time in which a server is asked as fast as clients can, and what is told of several of them. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const pauseMs = 1_000;
const twoCores = process.platform === "linux" && cpus().length >= 2;
/** A program on one processor, where there are several; `core` undefined leaves it free. */
export const pinned = (core, [program, args]) => (twoCores && core !== undefined ? ["taskset", ["-c", String(core), program, ...args]] : [program, args]);

export async function window(url, { clients, seconds, folder, core }, requests) {
  const file = path.join(folder, `requests-${performance.now()}.json`);
  writeFileSync(file, JSON.stringify(requests));
  await new Promise((resolve) => setTimeout(resolve, pauseMs));
  const load = fileURLToPath(new URL("./load.mjs", import.meta.url));
  const args = [load, "--url", url, "--requests", file, "--clients", String(clients), "--seconds", String(seconds)];
  const found = await line(pinned(core, [process.execPath, args]));
  if (found.refused !== undefined) throw new Error(`${found.refused} requests were refused: ${found.example}`);
  return found;
}
/** The line of JSON that a program prints. */
export function line([program, args]) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.on("data", (part) => {
      text += part;
    });
    child.on("error", reject).on("close", (status) => (status === 0 ? resolve(JSON.parse(text)) : reject(new Error(`${args[0]} failed`))));
  });
}

export function batches(all, size) {
  return Array.from({ length: size === 1 ? 512 : 4 }, (_, i) => all.slice((i * size) % all.length, ((i * size) % all.length) + size));
}
export function base64(bytes) {
  return Buffer.from(bytes).toString("base64");
}
export function middle(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
export function median(found) {
  return found.toSorted((a, b) => a.per_s - b.per_s)[Math.floor(found.length / 2)];
}
