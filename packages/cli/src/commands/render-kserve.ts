import type { Endpoint, ModelVersionDetail } from "@millrace/sdk/api";
import { stringify } from "yaml";
import { CliError, exit } from "../errors.js";
import { print, tell } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

export interface KserveOptions extends ServerOptions {
  namespace: string;
  /** Whose server answers: Millrace's image, or KServe's own runtimes. */
  runtime: "millrace" | "kserve";
  image?: string;
  serverUrl?: string;
  minReplicas: number;
  maxReplicas: number;
  serviceAccount?: string;
}
type Version = Pick<ModelVersionDetail, "model" | "version" | "files">;

export async function renderKserve(name: string, options: KserveOptions): Promise<void> {
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(options.namespace))
    throw new CliError(`"${options.namespace}" can't name a namespace: give lower-case letters, digits and hyphens.`, exit.usage);
  if (options.runtime === "millrace" && options.image === undefined)
    throw new CliError(
      "Say which image Millrace runs in, with --image; docs/compute.md has its recipe. Or have KServe's own runtimes answer: --runtime kserve.",
      exit.usage,
    );
  const client = connect(options);
  const endpoint = await client.endpoints.get(name);
  const { stable, candidate, model } = endpoint;
  if (stable === null) throw new CliError(`The endpoint "${name}" has no version to answer with yet.`);
  const version = options.runtime === "millrace" ? undefined : await client.models.version(model, candidate ?? stable);
  const manifest = inferenceService(endpoint, version, options);
  print(stringify(manifest, { lineWidth: 0 }).trimEnd());
  if (options.runtime === "kserve" && candidate !== null)
    tell(`Version ${stable} answers the rest: it must have been applied before, as the service's last revision that took all traffic.`);
}

/** An InferenceService of KServe (serving.kserve.io/v1beta1). */
export function inferenceService(
  { name, service, stable, candidate, weight, model }: Pick<Endpoint, "name" | "service" | "stable" | "candidate" | "weight" | "model">,
  version: Version | undefined,
  { namespace, runtime, image, serverUrl, url, minReplicas, maxReplicas, serviceAccount }: KserveOptions,
): object {
  const labels = { "app.kubernetes.io/name": "millrace", "app.kubernetes.io/component": "endpoint" };
  const metadata = {
    name: kubernetesName(name),
    namespace,
    labels,
    annotations: { "millrace/endpoint": name, "millrace/model": version === undefined ? model : `${model}/${version.version}` },
  };
  const scale = { minReplicas, maxReplicas, ...(serviceAccount === undefined ? {} : { serviceAccountName: serviceAccount }) };
  const head = { apiVersion: "serving.kserve.io/v1beta1", kind: "InferenceService", metadata };
  if (runtime === "millrace" || version === undefined) return { ...head, spec: { predictor: { ...scale, ...millracePredictor(image ?? "") } } };

  if (service !== null)
    throw new CliError(
      `The endpoint "${name}" answers rows of the feature service "${service}", which KServe's own runtimes do not know: render it with --runtime millrace.`,
      exit.usage,
    );
  const isMlflow = version.files.some((file) => file.path === "MLmodel");
  const archive = `${(serverUrl ?? url).replace(/\/+$/, "")}/api/v1/models/${encodeURIComponent(model)}/versions/${version.version}/archive.tar`;
  return {
    ...head,
    spec: {
      predictor: {
        ...scale,
        // The part of the version that is tried; the revision that was applied before has the rest.
        ...(candidate !== null && candidate !== stable ? { canaryTrafficPercent: Math.round(weight * 100) } : {}),
        model: {
          modelFormat: { name: isMlflow ? "mlflow" : "onnx" },
          protocolVersion: "v2",
          storageUri: isMlflow ? archive : `${archive}?triton=${encodeURIComponent(name)}`,
        },
      },
    },
  };
}

/** A process of the platform that answers alone: on its PostgreSQL and bucket, by the settings and secrets that `render kubernetes` names. Its rollouts are Millrace's. */
function millracePredictor(image: string): object {
  // Without a token: others of the protocol's addresses ask for one where there are users.
  const health = (of: "live" | "ready") => ({ httpGet: { path: `/v2/health/${of}`, port: 8_080 } });
  return {
    containers: [
      {
        name: "kserve-container",
        image,
        args: ["serve", "--host", "0.0.0.0", "--port", "8080", "--data-dir", "/data"],
        envFrom: [{ configMapRef: { name: "millrace" } }, { secretRef: { name: "millrace" } }],
        ports: [{ containerPort: 8_080, protocol: "TCP" }],
        startupProbe: { ...health("ready"), periodSeconds: 2, failureThreshold: 60 },
        readinessProbe: { ...health("ready"), periodSeconds: 5 },
        livenessProbe: { ...health("live"), periodSeconds: 10, timeoutSeconds: 5 },
        resources: { requests: { cpu: "500m", memory: "1Gi" }, limits: { memory: "4Gi" } },
        securityContext: { allowPrivilegeEscalation: false, runAsNonRoot: true, runAsUser: 1_000, capabilities: { drop: ["ALL"] } },
        volumeMounts: [{ name: "data", mountPath: "/data" }],
      },
    ],
    volumes: [{ name: "data", emptyDir: { sizeLimit: "50Gi" } }],
  };
}

/** Lower-case letters, digits and hyphens, as in the name of a host. */
function kubernetesName(name: string): string {
  const made = name
    .toLowerCase()
    .replaceAll("_", "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 50)
    .replace(/-+$/, "");
  return /^[a-z]/.test(made) ? made : `m-${made}`;
}
