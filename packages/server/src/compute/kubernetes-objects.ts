/** What a step is in a cluster: a Job of one pod, and a Secret with its environment, which goes with the Job. */
import type { V1PodSpec } from "@kubernetes/client-node";
import type { KubernetesConfig } from "../platform/index.js";
import type { Job } from "./backend.js";
import type { PodTemplate } from "./kubernetes-api.js";
import { hashed, slackMs } from "./remote.js";

export const container = "step";
export const defaultImage = "python:3.12-slim";
export const managed = "app.kubernetes.io/managed-by=millrace,app.kubernetes.io/name=millrace-step";
/** For the program that runs the step, beside the step's own memory. */
const overheadBytes = 64 * 1024 ** 2;
/** Longer than a step that ignores SIGTERM is waited for. */
export const graceSeconds = 20;
/** Jobs that nobody came back for. */
const keptSeconds = 3_600;
/** A node that does not answer is known as such after 40 to 50 s; then the step is given up as soon as this. */
const tolerationSeconds = 10;

export const stepLabel = (id: string): string => hashed(id.replace(/\/\d+$/, ""));

export function jobManifest(
  { name, secret, entrypoint }: { name: string; secret: string; entrypoint: string },
  job: Job,
  config: KubernetesConfig,
  { metadata, spec }: PodTemplate,
) {
  const { cpus = 1, memoryBytes, gpus } = job.resources;
  const memory = memoryBytes === undefined ? undefined : String(memoryBytes + overheadBytes);
  const limits = { ...(memory === undefined ? {} : { memory }), ...(gpus === undefined ? {} : { "nvidia.com/gpu": String(gpus) }) };
  const [run = ""] = job.id.split("/");
  const labels = {
    "app.kubernetes.io/managed-by": "millrace",
    "app.kubernetes.io/name": "millrace-step",
    "millrace/step": stepLabel(job.id),
    ...(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/.test(run) ? { "millrace/run": run } : {}),
  };
  const annotations = { "millrace/job": job.id };
  const own = spec?.containers?.find((one) => one.name === container);
  const pod: V1PodSpec = {
    // Users' code has no business with the cluster.
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: { seccompProfile: { type: "RuntimeDefault" } },
    ...spec,
    ...(config.serviceAccount === undefined ? {} : { serviceAccountName: config.serviceAccount }),
    restartPolicy: "Never",
    terminationGracePeriodSeconds: graceSeconds,
    tolerations: [
      ...(spec?.tolerations ?? []),
      ...["not-ready", "unreachable"].map((key) => ({ key: `node.kubernetes.io/${key}`, operator: "Exists", effect: "NoExecute", tolerationSeconds })),
    ],
    containers: [
      {
        securityContext: { allowPrivilegeEscalation: false },
        ...own,
        name: container,
        image: config.image ?? own?.image ?? defaultImage,
        command: ["/bin/sh", "-c", entrypoint],
        env: [...(own?.env ?? []), { name: "MILLRACE_JOB_RESULT_FILE", value: "/dev/termination-log" }],
        envFrom: [...(own?.envFrom ?? []), { secretRef: { name: secret } }],
        resources: {
          requests: { ...own?.resources?.requests, cpu: String(cpus), ...(memory === undefined ? {} : { memory }) },
          limits: { ...own?.resources?.limits, ...limits },
        },
        terminationMessagePath: "/dev/termination-log",
      },
      ...(spec?.containers?.filter((one) => one.name !== container) ?? []),
    ],
  };
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name, labels: { ...metadata?.labels, ...labels }, annotations: { ...metadata?.annotations, ...annotations } },
    spec: {
      // It begins when its Secret is there.
      suspend: true,
      // How often a step is tried is Millrace's to decide.
      backoffLimit: 0,
      activeDeadlineSeconds: Math.ceil((job.timeoutMs + slackMs) / 1_000),
      ttlSecondsAfterFinished: keptSeconds,
      template: { metadata: { labels: { ...metadata?.labels, ...labels }, annotations: { ...metadata?.annotations, ...annotations } }, spec: pod },
    },
  };
}

/** Goes with the Job. */
export function secretManifest(name: string, job: { name: string; uid: string }, environment: Record<string, string>) {
  return {
    apiVersion: "v1",
    kind: "Secret",
    type: "Opaque",
    immutable: true,
    metadata: {
      name,
      labels: { "app.kubernetes.io/managed-by": "millrace" },
      ownerReferences: [{ apiVersion: "batch/v1", kind: "Job", ...job, controller: true }],
    },
    data: Object.fromEntries(Object.entries(environment).map(([key, value]) => [key, Buffer.from(value).toString("base64")])),
  };
}
