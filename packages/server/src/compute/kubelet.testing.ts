/**
 * A stand-in for the kubelet and its container runtime, which need a kernel of their own: it registers a node, runs the command of each pod that the scheduler gives it as
 * a process of this machine, with the environment of its Secrets, says how it goes, and serves logs to the API server, as a kubelet does.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

export type Ask = (
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE",
  at: string,
  body?: unknown,
) => Promise<{ status: number; body: Record<string, unknown> }>;

interface Pod {
  metadata: { name: string; namespace: string; uid: string; deletionTimestamp?: string; deletionGracePeriodSeconds?: number };
  spec: { containers: [Container] };
}
interface Container {
  name: string;
  image: string;
  command: string[];
  env?: { name: string; value: string }[];
  envFrom?: { secretRef: { name: string } }[];
  terminationMessagePath: string;
}
interface Running {
  pod: Pod;
  child: ChildProcess;
  lines: { stamp: string; text: string }[];
  readers: Set<() => void>;
  over: boolean;
  outOfMemory: boolean;
  ending: boolean;
}
export interface Kubelet {
  /** As a machine whose power is cut. */
  kill(): Promise<void>;
  /** What the kernel's killer does to a pod whose memory is at its limit. */
  runOutOfMemory(): void;
  /** Cuts the logs that are read now. */
  cutLogs(): void;
  /** What of the pods' processes runs. */
  running(): number;
}

const image = /^registry\.invalid\//;

export async function kubelet(name: string, ask: Ask, tls: { cert: Buffer; key: Buffer }, capacity: Record<string, string>): Promise<Kubelet> {
  const pods = new Map<string, Running>();
  const folder = await mkdtemp(path.join(tmpdir(), "mrk-node-"));
  const open = new Set<ServerResponse>();
  let alive = true;

  const server = createServer(tls, (request, response) => {
    const url = new URL(request.url ?? "/", "https://kubelet");
    const [, what, , pod = ""] = url.pathname.split("/");
    const found = [...pods.values()].find((one) => one.pod.metadata.name === pod);
    if (what !== "containerLogs" || found === undefined) return void response.writeHead(404).end("no such pod");
    response.writeHead(200, { "content-type": "text/plain" });
    response.flushHeaders();
    open.add(response);
    const since = url.searchParams.get("sinceTime");
    let next = since === null ? 0 : found.lines.findIndex((line) => line.stamp >= since.slice(0, 19));
    if (next === -1) next = found.lines.length;
    const timestamps = url.searchParams.get("timestamps") === "true";
    const write = () => {
      for (; next < found.lines.length; next++) {
        const { stamp = "", text = "" } = found.lines[next] ?? {};
        response.write(timestamps ? `${stamp} ${text}\n` : `${text}\n`);
      }
      if (found.over || url.searchParams.get("follow") !== "true") response.end();
    };
    found.readers.add(write);
    response.once("close", () => {
      found.readers.delete(write);
      open.delete(response);
    });
    write();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const at = server.address();
  if (at === null || typeof at === "string") throw new Error("The stand-in has no port.");

  const now = () => new Date().toISOString().replace(/\.\d+Z/, "Z");
  const lease = () => ({ spec: { holderIdentity: name, leaseDurationSeconds: 5, renewTime: new Date().toISOString().replace("Z", "000Z") } });
  const sizes = { cpu: "4", memory: "8Gi", pods: "50", "ephemeral-storage": "50Gi", ...capacity };
  const ready = () => ({ type: "Ready", status: "True", reason: "KubeletReady", lastHeartbeatTime: now(), lastTransitionTime: now() });
  const status = () => ({
    ...{ capacity: sizes, allocatable: sizes, conditions: [ready()], addresses: [{ type: "InternalIP", address: "127.0.0.1" }] },
    daemonEndpoints: { kubeletEndpoint: { Port: at.port } },
  });
  const labels = { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" };
  await ask("POST", "/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata: { name, labels } });
  const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
  await ask("POST", leases, { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { name }, ...lease() });

  async function report(pod: Pod, phase: string, state: object): Promise<void> {
    const [container] = pod.spec.containers;
    await ask("PATCH", `/api/v1/namespaces/${pod.metadata.namespace}/pods/${pod.metadata.name}/status`, {
      status: {
        phase,
        containerStatuses: [
          {
            name: container.name,
            image: container.image,
            imageID: "",
            ready: false,
            restartCount: 0,
            state: { waiting: null, running: null, terminated: null, ...state },
          },
        ],
      },
    });
  }

  async function start(pod: Pod): Promise<void> {
    const [container] = pod.spec.containers;
    const { namespace, uid } = pod.metadata;
    if (image.test(container.image))
      return report(pod, "Pending", { waiting: { reason: "ImagePullBackOff", message: `Back-off pulling image "${container.image}"` } });
    const env: Record<string, string> = {};
    for (const { secretRef } of container.envFrom ?? []) {
      const { status: code, body } = await ask("GET", `/api/v1/namespaces/${namespace}/secrets/${secretRef.name}`);
      if (code !== 200) return report(pod, "Pending", { waiting: { reason: "CreateContainerConfigError", message: `secret "${secretRef.name}" not found` } });
      for (const [key, value] of Object.entries(body.data as Record<string, string>)) env[key] = Buffer.from(value, "base64").toString();
    }
    // Where a container would have a file mounted, here it has a path of its own.
    const message = path.join(folder, `${uid}.message`);
    for (const { name: key, value } of container.env ?? []) env[key] = value === container.terminationMessagePath ? message : value;
    const [program = "", ...args] = container.command;
    const child = spawn(program, args, {
      env: { PATH: process.env.PATH, HOME: folder, TMPDIR: folder, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const running: Running = { pod, child, lines: [], readers: new Set(), over: false, outOfMemory: false, ending: false };
    pods.set(uid, running);
    for (const stream of [child.stdout, child.stderr])
      if (stream !== null)
        createInterface({ input: stream }).on("line", (text) => {
          running.lines.push({ stamp: new Date().toISOString().replace("Z", "000000Z"), text });
          for (const write of running.readers) write();
        });
    const closed = once(child, "close") as Promise<[number | null, string | null]>;
    await report(pod, "Running", { running: { startedAt: now() } });
    const [code, signal] = await closed;
    running.over = true;
    for (const write of running.readers) write();
    if (!alive) return;
    const exitCode = code ?? (signal === "SIGTERM" ? 143 : 137);
    const said = await readFile(message, "utf8").catch(() => "");
    const reason = running.outOfMemory ? "OOMKilled" : exitCode === 0 ? "Completed" : "Error";
    await report(pod, exitCode === 0 ? "Succeeded" : "Failed", { terminated: { exitCode, reason, message: said, startedAt: now(), finishedAt: now() } });
  }

  function end(running: Running, signal: "SIGTERM" | "SIGKILL"): void {
    try {
      // SIGTERM goes to the first process of a container alone, SIGKILL to all of it: the step is a group of its own, and ends with what runs it.
      if (running.child.pid !== undefined) process.kill(signal === "SIGTERM" ? running.child.pid : -running.child.pid, signal);
    } catch {
      // It is gone.
    }
  }

  const seen = new Set<string>();
  async function look(): Promise<void> {
    const { body } = await ask("GET", `/api/v1/pods?fieldSelector=spec.nodeName%3D${name}`);
    for (const pod of (body.items as Pod[] | undefined) ?? []) {
      const { uid, deletionTimestamp, deletionGracePeriodSeconds = 0 } = pod.metadata;
      if (!seen.has(uid)) {
        seen.add(uid);
        void start(pod).catch(() => {});
      }
      const running = pods.get(uid);
      if (deletionTimestamp === undefined) continue;
      if (running === undefined || running.over) {
        await ask("DELETE", `/api/v1/namespaces/${pod.metadata.namespace}/pods/${pod.metadata.name}`, { gracePeriodSeconds: 0, preconditions: { uid } });
      } else if (!running.ending) {
        running.ending = true;
        end(running, "SIGTERM");
        void delay(deletionGracePeriodSeconds * 1_000, undefined, { ref: false }).then(() => running.over || end(running, "SIGKILL"));
      }
    }
  }
  const living = (async () => {
    for (let next = 0; alive; await delay(200)) {
      try {
        if (performance.now() >= next) {
          next = performance.now() + 1_000;
          await ask("PATCH", `/api/v1/nodes/${name}/status`, { status: status() });
          await ask("PATCH", `${leases}/${name}`, lease());
        }
        await look();
      } catch {
        // The API server is away.
      }
    }
  })();

  return {
    async kill() {
      alive = false;
      for (const running of pods.values()) if (!running.over) end(running, "SIGKILL");
      server.close();
      server.closeAllConnections();
      await living;
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
    runOutOfMemory() {
      for (const running of pods.values()) {
        if (running.over) continue;
        running.outOfMemory = true;
        end(running, "SIGKILL");
      }
    },
    cutLogs() {
      for (const response of open) response.destroy();
    },
    running: () => [...pods.values()].filter((one) => !one.over).length,
  };
}
