/** A real Ray cluster of several hosts: each is a network namespace of this machine, on one bridge. Linux, as root. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, vi } from "vitest";

const bin = fileURLToPath(new URL("../../../../.millrace/ray/bin/", import.meta.url));
const ip = (...args: string[]) => execFileSync("ip", args, { stdio: ["ignore", "pipe", "pipe"] });

export interface Host {
  name: string;
  address: string;
  /** As a machine whose power is cut. */
  kill(): Promise<void>;
}
export interface RayCluster {
  /** Where this machine is to be found by the hosts. */
  gateway: string;
  address: string;
  addHost(name: string, resources: string[]): Promise<Host>;
  ask(at: string): Promise<unknown>;
  close(): Promise<void>;
}

export async function rayCluster(): Promise<RayCluster> {
  const net = `10.${100 + (process.pid % 100)}.${(process.pid >> 7) % 250}`;
  const bridge = `mr${process.pid % 100_000}`;
  // One for all, as /tmp/ray on hosts of their own: Ray's nodes look for logs where the head's are. Short, for the sake of sockets below it.
  const temporary = await mkdtemp(path.join(tmpdir(), "mrr-"));
  const folders: string[] = [temporary];
  const hosts: Host[] = [];
  let hostsMade = 1;
  ip("link", "add", bridge, "type", "bridge");
  ip("addr", "add", `${net}.1/24`, "dev", bridge);
  ip("link", "set", bridge, "up");

  async function addHost(name: string, args: string[]): Promise<Host> {
    const number = ++hostsMade;
    const namespace = `${bridge}-${name}`;
    const address = `${net}.${number}`;
    const link = `${bridge}v${number}`;
    ip("netns", "add", namespace);
    ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace);
    ip("link", "set", link, "master", bridge, "up");
    ip("-n", namespace, "addr", "add", `${address}/24`, "dev", "eth0");
    ip("-n", namespace, "link", "set", "eth0", "up");
    ip("-n", namespace, "link", "set", "lo", "up");
    const folder = await mkdtemp(path.join(tmpdir(), "mrr-"));
    folders.push(folder);
    const env = {
      PATH: `${bin}:${process.env.PATH}`,
      HOME: folder,
      TMPDIR: folder,
      RAY_USAGE_STATS_ENABLED: "0",
      // A node that is gone is told as such within seconds.
      RAY_health_check_period_ms: "1000",
      RAY_health_check_failure_threshold: "3",
      RAY_health_check_timeout_ms: "2000",
    };
    const command = [
      "netns",
      "exec",
      namespace,
      path.join(bin, "ray"),
      "start",
      "--block",
      `--node-ip-address=${address}`,
      "--object-store-memory=100000000",
      ...args,
    ];
    const started: ChildProcess = spawn("ip", command, { env, stdio: "ignore", detached: true });
    started.unref();
    const host: Host = {
      name,
      address,
      async kill() {
        const pids = ip("netns", "pids", namespace)
          .toString()
          .split("\n")
          .flatMap((pid) => (pid === "" ? [] : [Number(pid)]));
        for (const pid of pids) {
          try {
            process.kill(pid, "SIGKILL");
          } catch {
            // It is gone.
          }
        }
        await vi.waitFor(() => expect(ip("netns", "pids", namespace).toString().trim()).toBe(""));
      },
    };
    hosts.push(host);
    return host;
  }

  async function close(): Promise<void> {
    for (const host of hosts) {
      await host.kill().catch(() => {});
      await promisify(execFile)("ip", ["netns", "del", `${bridge}-${host.name}`]).catch(() => {});
    }
    ip("link", "del", bridge);
    for (const folder of folders) await rm(folder, { recursive: true, force: true });
  }

  const head = `http://${net}.2:8265`;
  const ask = (at: string) =>
    new Promise<unknown>((resolve, reject) => {
      const asked = request(new URL(at, head), { timeout: 5_000 }, async (answer) => {
        const parts: Buffer[] = [];
        for await (const part of answer) parts.push(part);
        try {
          resolve(JSON.parse(Buffer.concat(parts).toString()));
        } catch (error) {
          reject(error);
        }
      });
      asked.once("error", reject);
      asked.once("timeout", () => asked.destroy(new Error("no answer")));
      asked.end();
    });
  try {
    // The head does no work of steps: it must not matter which host is killed.
    await addHost("head", ["--head", "--temp-dir", temporary, "--port=6379", "--dashboard-host=0.0.0.0", "--num-cpus=0"]);
    await vi.waitFor(() => ask("/api/version"), { timeout: 120_000, interval: 500 });
  } catch (error) {
    await close();
    throw error;
  }
  return { gateway: `${net}.1`, address: head, addHost: (name, resources) => addHost(name, [`--address=${net}.2:6379`, ...resources]), ask, close };
}
