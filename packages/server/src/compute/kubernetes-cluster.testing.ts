/** A real Kubernetes control plane on loopback: etcd, API server, scheduler, controller manager; scripts/kubernetes.mjs builds them. Nodes are stand-ins. */
import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { vi } from "vitest";
import { type Ask, type Kubelet, kubelet } from "./kubelet.testing.js";

const bin = fileURLToPath(new URL("../../../../.millrace/kube/", import.meta.url));

export interface Cluster {
  /** Who may do all. */
  kubeconfig: string;
  /** A kubeconfig of somebody who may do what the roles of the service account allow. */
  kubeconfigOf(account: { namespace: string; name: string }): Promise<string>;
  ask: Ask;
  addNode(name: string, capacity?: Record<string, string>): Promise<Kubelet>;
  close(): Promise<void>;
}

export async function kubernetesCluster(): Promise<Cluster> {
  if (!existsSync(path.join(bin, "etcd"))) throw new Error("The control plane is not built: `npm run test:kubernetes` does that.");
  const folder = await mkdtemp(path.join(tmpdir(), "mrk-"));
  const [client, peer, secure] = await Promise.all([freePort(), freePort(), freePort()]);
  const token = randomBytes(16).toString("hex");
  const processes: ChildProcess[] = [];
  const nodes: Kubelet[] = [];
  const at = (name: string) => path.join(folder, name);
  let said = "";
  function start(name: string, args: string[]): void {
    const child = spawn(path.join(bin, name), args, { stdio: ["ignore", "ignore", "pipe"] });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-20_000);
    });
    processes.push(child);
  }
  async function close(): Promise<void> {
    await Promise.all(nodes.map((node) => node.kill().catch(() => {})));
    for (const child of processes.reverse()) {
      if (child.exitCode !== null) continue;
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    await rm(folder, { recursive: true, force: true });
  }

  const server = `https://127.0.0.1:${secure}`;
  const kubeconfigFor = async (name: string, bearer: string, namespace?: string): Promise<string> => {
    const config = {
      ...{ apiVersion: "v1", kind: "Config", "current-context": "test" },
      clusters: [{ name: "test", cluster: { server, "certificate-authority": at("apiserver.crt") } }],
      users: [{ name: "test", user: { token: bearer } }],
      contexts: [{ name: "test", context: { cluster: "test", user: "test", ...(namespace === undefined ? {} : { namespace }) } }],
    };
    await writeFile(at(name), JSON.stringify(config));
    return at(name);
  };
  const ask: Ask = async (method, where, body) => {
    const ca = await readFile(at("apiserver.crt"));
    return new Promise((resolve, reject) => {
      const sent = body === undefined ? "" : JSON.stringify(body);
      const type = method === "PATCH" ? "application/strategic-merge-patch+json" : "application/json";
      const asked = request(
        new URL(where, server),
        { method, ca, headers: { authorization: `Bearer ${token}`, "content-type": type, "content-length": Buffer.byteLength(sent) } },
        async (answer) => {
          try {
            let text = "";
            for await (const part of answer.setEncoding("utf8")) text += part;
            resolve({ status: answer.statusCode ?? 0, body: text.startsWith("{") ? JSON.parse(text) : { message: text } });
          } catch (error) {
            reject(error);
          }
        },
      );
      asked.setTimeout(10_000, () => asked.destroy(new Error("The API server does not answer.")));
      asked.once("error", reject);
      asked.end(sent);
    });
  };

  try {
    const keys = generateKeyPairSync("rsa", { modulusLength: 2048 });
    await writeFile(at("sa.key"), keys.privateKey.export({ type: "pkcs1", format: "pem" }));
    await writeFile(at("sa.pub"), keys.publicKey.export({ type: "spki", format: "pem" }));
    await writeFile(at("tokens.csv"), `${token},admin,admin,"system:masters"\n`);
    const clients = `http://127.0.0.1:${client}`;
    const peers = `http://127.0.0.1:${peer}`;
    start("etcd", [
      ...[`--data-dir=${at("etcd")}`, `--listen-client-urls=${clients}`, `--advertise-client-urls=${clients}`, `--listen-peer-urls=${peers}`],
      ...[`--initial-advertise-peer-urls=${peers}`, `--initial-cluster=default=${peers}`, "--unsafe-no-fsync", "--log-level=error"],
    ]);
    start("kube-apiserver", [
      ...[`--etcd-servers=${clients}`, "--bind-address=127.0.0.1", `--secure-port=${secure}`, `--cert-dir=${folder}`, `--token-auth-file=${at("tokens.csv")}`],
      ...["--authorization-mode=RBAC", "--service-account-issuer=https://kubernetes.default.svc", `--service-account-key-file=${at("sa.pub")}`],
      ...[`--service-account-signing-key-file=${at("sa.key")}`, "--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none"],
      ...["--kubelet-preferred-address-types=InternalIP", "--profiling=false"],
    ]);
    await vi.waitFor(
      async () => {
        const { status } = await ask("GET", "/readyz");
        if (status !== 200) throw new Error(`The API server answers ${status}.`);
      },
      { timeout: 120_000, interval: 500 },
    );
    const kubeconfig = await kubeconfigFor("admin.conf", token);
    start("kube-controller-manager", [
      ...[`--kubeconfig=${kubeconfig}`, "--leader-elect=false", "--secure-port=0", `--service-account-private-key-file=${at("sa.key")}`],
      // A node that does not answer is known as such after 40 s; here after 6.
      ...["--node-monitor-grace-period=6s", "--node-monitor-period=1s", "--use-service-account-credentials=false"],
      `--controllers=${[
        ...["job-controller", "serviceaccount-controller", "namespace-controller", "garbage-collector-controller", "node-lifecycle-controller"],
        ...["taint-eviction-controller", "ttl-after-finished-controller", "root-ca-certificate-publisher-controller"],
      ].join(",")}`,
    ]);
    start("kube-scheduler", [`--kubeconfig=${kubeconfig}`, "--leader-elect=false", "--secure-port=0"]);
    await vi.waitFor(
      async () => {
        const { status } = await ask("GET", "/api/v1/namespaces/default/serviceaccounts/default");
        if (status !== 200) throw new Error(`The controllers are not there yet (${status}).`);
      },
      { timeout: 120_000, interval: 500 },
    );
    const tls = { cert: await readFile(at("apiserver.crt")), key: await readFile(at("apiserver.key")) };
    return {
      kubeconfig,
      ask,
      close,
      async kubeconfigOf({ namespace, name }) {
        const where = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
        const { body } = await ask("POST", where, { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} });
        const { token: bearer } = body.status as { token: string };
        return kubeconfigFor(`${name}.conf`, bearer, namespace);
      },
      async addNode(name, capacity = {}) {
        const node = await kubelet(name, ask, tls, capacity);
        nodes.push(node);
        return node;
      },
    };
  } catch (error) {
    await close();
    throw new Error(`The control plane does not come up: ${error instanceof Error ? error.message : error}\n${said}`);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const at = server.address();
  server.close();
  if (at === null || typeof at === "string") throw new Error("There is no free port.");
  return at.port;
}
