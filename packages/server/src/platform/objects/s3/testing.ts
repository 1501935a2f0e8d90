/** For tests: an S3 server of its own, versitygw, over a folder. `npm test` builds it once into the checkout, where Go is there. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const tool = fileURLToPath(new URL("../../../../../../scripts/s3-server.mjs", import.meta.url));

/** Where its program is; undefined, and said so, where there is none. */
export function s3Server(): string | undefined {
  const { stdout, status } = spawnSync(process.execPath, [tool, "--find"], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  return status === 0 ? stdout.trim() : undefined;
}

export interface S3Process {
  endpoint: string;
  /** Under it lie the buckets, as folders. */
  folder: string;
  stop(): Promise<void>;
}

/** With the bucket `bucket`, and its address and credentials in this process's environment, as an operator sets them. */
export async function startS3(program: string): Promise<S3Process> {
  const folder = await mkdtemp(path.join(tmpdir(), "millrace-s3-"));
  await mkdir(path.join(folder, "bucket"));
  const port = await freePort();
  const child = spawn(program, ["--port", `127.0.0.1:${port}`, "--access", "tests", "--secret", "tests-secret", "--quiet", "posix", folder], {
    stdio: "ignore",
  });
  const endpoint = `http://127.0.0.1:${port}`;
  Object.assign(process.env, { AWS_ENDPOINT_URL_S3: endpoint, AWS_ACCESS_KEY_ID: "tests", AWS_SECRET_ACCESS_KEY: "tests-secret", AWS_REGION: "us-east-1" });
  while (child.exitCode === null && !(await answers(endpoint))) await delay(20);
  if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode} at its start.`);
  return {
    endpoint,
    folder,
    async stop() {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const answers = (endpoint: string): Promise<boolean> =>
  fetch(endpoint).then(
    () => true,
    () => false,
  );
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("There is no free port.");
  return address.port;
}
