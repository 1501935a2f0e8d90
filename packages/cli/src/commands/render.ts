import { stringify } from "yaml";
import { CliError, exit } from "../errors.js";
import { print } from "../output.js";

export interface RenderOptions {
  image: string;
  namespace: string;
  replicas: number;
  workers: number;
  stepImage: string;
  objects: string;
}
const port = 4_600;

/** What `kubectl apply -f -` takes. */
export function renderKubernetes(options: RenderOptions): void {
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(options.namespace))
    throw new CliError(`"${options.namespace}" can't name a namespace: give lower-case letters, digits and hyphens.`, exit.usage);
  if (!/^s3:\/\/[a-zA-Z0-9]/.test(options.objects))
    throw new CliError(`"${options.objects}" is no address of a bucket: give one as s3://bucket/prefix. Several pods need one store.`, exit.usage);
  print(
    manifests(options)
      .map((one) => stringify(one, { lineWidth: 0 }))
      .join("---\n")
      .trimEnd(),
  );
}

export function manifests({ image, namespace, replicas, workers, stepImage, objects }: RenderOptions): object[] {
  const labels = (component: string) => ({ "app.kubernetes.io/name": "millrace", "app.kubernetes.io/component": component });
  const meta = (name: string, component?: string) => ({
    name,
    namespace,
    labels: component === undefined ? { "app.kubernetes.io/name": "millrace" } : labels(component),
  });
  const deployment = (component: "server" | "worker", count: number, args: string[]) => ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: meta(`millrace-${component}`, component),
    spec: {
      replicas: count,
      selector: { matchLabels: labels(component) },
      template: {
        metadata: { labels: labels(component) },
        spec: {
          serviceAccountName: "millrace",
          // The variables that a Service named millrace brings look like settings of Millrace.
          enableServiceLinks: false,
          // Steps that run in the pod are ended, and done again elsewhere.
          terminationGracePeriodSeconds: 60,
          securityContext: { runAsNonRoot: true, runAsUser: 1_000, fsGroup: 1_000, seccompProfile: { type: "RuntimeDefault" } },
          containers: [
            {
              name: component,
              image,
              args: [...args, "--host", "0.0.0.0", "--port", String(port), "--data-dir", "/data"],
              envFrom: [{ configMapRef: { name: "millrace" } }, { secretRef: { name: "millrace" } }],
              ports: [{ name: "http", containerPort: port }],
              startupProbe: { httpGet: { path: "/health", port: "http" }, periodSeconds: 2, failureThreshold: 60 },
              readinessProbe: { httpGet: { path: "/health", port: "http" }, periodSeconds: 5 },
              resources: { requests: { cpu: "500m", memory: "1Gi" }, limits: { memory: "4Gi" } },
              securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
              volumeMounts: [{ name: "data", mountPath: "/data" }],
            },
          ],
          // Copies and environments: what must not be lost is in PostgreSQL and the bucket.
          volumes: [{ name: "data", emptyDir: { sizeLimit: "50Gi" } }],
        },
      },
    },
  });
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
    { apiVersion: "v1", kind: "ServiceAccount", metadata: meta("millrace") },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "Role",
      metadata: meta("millrace-steps"),
      rules: [
        { apiGroups: ["batch"], resources: ["jobs"], verbs: ["create", "get", "list", "patch", "delete"] },
        { apiGroups: [""], resources: ["secrets"], verbs: ["create"] },
        { apiGroups: [""], resources: ["pods", "events"], verbs: ["list"] },
        { apiGroups: [""], resources: ["pods/log"], verbs: ["get"] },
      ],
    },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: meta("millrace-steps"),
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "millrace-steps" },
      subjects: [{ kind: "ServiceAccount", name: "millrace", namespace }],
    },
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: meta("millrace"),
      data: {
        MILLRACE_OBJECTS: objects,
        AWS_REGION: "us-east-1",
        MILLRACE_ADVERTISE_URL: `http://millrace.${namespace}.svc:${port}`,
        MILLRACE_KUBERNETES: "in-cluster",
        MILLRACE_KUBERNETES_NAMESPACE: namespace,
        MILLRACE_KUBERNETES_IMAGE: stepImage,
      },
    },
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata: meta("millrace"),
      type: "Opaque",
      stringData: {
        DATABASE_URL: "postgresql://USER:PASSWORD@HOST:5432/millrace",
        MILLRACE_SECRETS_KEY: "32 BYTES, AS openssl rand -hex 32 GIVES THEM",
        AWS_ACCESS_KEY_ID: "KEY",
        AWS_SECRET_ACCESS_KEY: "SECRET",
      },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: meta("millrace", "server"),
      spec: { selector: labels("server"), ports: [{ name: "http", port, targetPort: "http" }] },
    },
    deployment("server", replicas, ["up"]),
    deployment("worker", workers, ["worker"]),
  ];
}
