/** The API of a Kubernetes cluster: who we are there, and where. The client's package knows all the ways to sign in; it is loaded when it is first needed. */
import { readFileSync } from "node:fs";
import type { Agent, IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { Agent as HttpsAgent, type RequestOptions } from "node:https";
import type { V1JobSpec, V1ObjectMeta, V1PodSpec, V1PodStatus } from "@kubernetes/client-node";
import type { KubernetesConfig } from "../platform/index.js";
import { type Answer, type Asked, answerOf, open, Refused } from "./asking.js";

/** Objects as the API writes them: the package's types, but for moments, which are text here. */
export interface Meta extends Pick<V1ObjectMeta, "name" | "uid" | "labels" | "annotations" | "deletionGracePeriodSeconds"> {
  creationTimestamp?: string;
  deletionTimestamp?: string;
}
export interface KubernetesJob {
  metadata: Meta;
  spec?: V1JobSpec;
  status?: { conditions?: { type: string; status: string; reason?: string; message?: string }[] };
}
export interface Pod {
  metadata: Meta;
  spec?: Pick<V1PodSpec, "nodeName">;
  status?: Pick<V1PodStatus, "phase" | "reason" | "message" | "conditions" | "containerStatuses">;
}
export interface PodTemplate {
  metadata?: Pick<V1ObjectMeta, "labels" | "annotations">;
  spec?: Partial<V1PodSpec>;
}

export interface KubernetesApi {
  server: string;
  namespace: string;
  template: PodTemplate;
  ask(method: Asked["method"], at: string, body?: unknown, headers?: OutgoingHttpHeaders): Promise<Answer>;
  /** The answer as it comes: of logs. */
  open(at: string, signal: AbortSignal, idleMs: number): Promise<IncomingMessage>;
}

export async function kubernetesApi(config: KubernetesConfig): Promise<KubernetesApi> {
  const { KubeConfig, loadYaml } = await import("@kubernetes/client-node");
  const kube = new KubeConfig();
  if (config.from === "in-cluster") {
    if (process.env.KUBERNETES_SERVICE_HOST === undefined)
      throw new Refused("MILLRACE_KUBERNETES is in-cluster, and this process is no pod of a cluster: give kubeconfig, and KUBECONFIG.");
    kube.loadFromCluster();
  } else {
    try {
      kube.loadFromDefault();
    } catch {
      throw new Refused("The kubeconfig can't be read: KUBECONFIG names the file, ~/.kube/config is the default.");
    }
    if (config.context !== undefined) {
      if (kube.getContextObject(config.context) === null)
        throw new Refused(
          `The kubeconfig has no context "${config.context}"; it has ${kube
            .getContexts()
            .map((one) => one.name)
            .join(", ")}.`,
        );
      kube.setCurrentContext(config.context);
    }
  }
  const cluster = kube.getCurrentCluster();
  if (cluster === null) throw new Refused("The kubeconfig names no cluster: let KUBECONFIG name a file with a current context.");
  const base = cluster.server.replace(/\/+$/, "");

  /** Asked each time, since tokens are renewed; one agent as long as they stay, so that connections do. */
  let kept: { of: string; agent: Agent | undefined } | undefined;
  async function signedIn(): Promise<{ headers: OutgoingHttpHeaders; agent?: Agent }> {
    const options: RequestOptions = {};
    await kube.applyToHTTPSOptions(options);
    const of = JSON.stringify([options.ca, options.cert, options.key].map(String));
    if (kept?.of !== of) {
      const { agent } = options;
      // One for a proxy is of another kind, and stays as it is.
      const plain = agent instanceof HttpsAgent && agent.constructor === HttpsAgent ? new HttpsAgent({ ...agent.options, keepAlive: true }) : undefined;
      kept = { of, agent: plain ?? (agent instanceof Object ? agent : undefined) };
    }
    const basic = typeof options.auth === "string" ? { authorization: `Basic ${Buffer.from(options.auth).toString("base64")}` } : {};
    return { headers: { ...basic, ...(options.headers as OutgoingHttpHeaders | undefined) }, ...(kept.agent === undefined ? {} : { agent: kept.agent }) };
  }

  return {
    server: base,
    namespace: config.namespace ?? kube.getContextObject(kube.getCurrentContext())?.namespace ?? "default",
    template: config.podTemplate === undefined ? {} : templateOf(config.podTemplate, loadYaml),
    async ask(method, at, body, headers) {
      const as = await signedIn();
      return answerOf(new URL(base + at), { method, body, ...as, headers: { accept: "application/json", ...as.headers, ...headers } });
    },
    async open(at, signal, idleMs) {
      return open(new URL(base + at), { method: "GET", signal, ...(await signedIn()) }, idleMs);
    },
  };
}

function templateOf(file: string, load: (text: string) => unknown): PodTemplate {
  let value: unknown;
  try {
    value = load(readFileSync(file, "utf8"));
  } catch (error) {
    throw new Refused(`MILLRACE_KUBERNETES_POD_TEMPLATE can't be read: ${error instanceof Error ? error.message.split("\n")[0] : error}`);
  }
  if (typeof value !== "object" || value === null || !("spec" in value || "metadata" in value))
    throw new Refused("MILLRACE_KUBERNETES_POD_TEMPLATE names a file that is no pod template: it wants `metadata` or `spec`, as in a Deployment's template.");
  // Whatever else is wrong with it the cluster says, when the first Job is made.
  return value as PodTemplate;
}

/** What the API says against it. */
export function refusal(answer: Answer): string {
  try {
    const { message }: { message?: unknown } = JSON.parse(answer.text);
    if (typeof message === "string") return message.slice(0, 500);
  } catch {
    // Not of the API, as of a proxy before it.
  }
  return answer.text.trim().split("\n").at(-1)?.slice(0, 500) ?? "";
}
