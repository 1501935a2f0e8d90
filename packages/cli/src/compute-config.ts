import type { ServerConfig } from "@millrace/server";
import { CliError, exit } from "./errors.js";

const units: Record<string, number> = { M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };

/** Where steps run, as the environment names it: docs/compute.md. */
export function computeConfig(env: NodeJS.ProcessEnv): Pick<ServerConfig, "compute"> {
  const advertiseUrl = address(env, "MILLRACE_ADVERTISE_URL");
  const ray = address(env, "RAY_ADDRESS");
  const token = env.RAY_AUTH_TOKEN;
  const disk = env.MILLRACE_STEP_DISK ?? "";
  const [, size, unit = ""] = /^([1-9][0-9]{0,6})([MGT])iB$/.exec(disk) ?? [];
  if (disk !== "" && size === undefined) throw new CliError(`MILLRACE_STEP_DISK is "${disk}": give a size as 500MiB or 20GiB.`, exit.usage);
  return {
    compute: {
      ...(advertiseUrl === undefined ? {} : { advertiseUrl }),
      ...(size === undefined ? {} : { folderBytes: Number(size) * (units[unit] ?? 1) }),
      ...(ray === undefined ? {} : { ray: { address: ray, ...(token === undefined || token === "" ? {} : { token }) } }),
      ...kubernetesConfig(env),
    },
  };
}

function kubernetesConfig(env: NodeJS.ProcessEnv): Pick<NonNullable<ServerConfig["compute"]>, "kubernetes"> {
  const from = env.MILLRACE_KUBERNETES ?? "";
  if (from === "") return {};
  if (from !== "in-cluster" && from !== "kubeconfig")
    throw new CliError(`MILLRACE_KUBERNETES is "${from}": give in-cluster within a pod, or kubeconfig for what KUBECONFIG names.`, exit.usage);
  const { MILLRACE_KUBERNETES_CONTEXT: context, MILLRACE_KUBERNETES_IMAGE: image, MILLRACE_KUBERNETES_POD_TEMPLATE: podTemplate } = env;
  const namespace = named(env, "MILLRACE_KUBERNETES_NAMESPACE");
  const serviceAccount = named(env, "MILLRACE_KUBERNETES_SERVICE_ACCOUNT");
  return {
    kubernetes: {
      from,
      ...(context ? { context } : {}),
      ...(image ? { image } : {}),
      ...(podTemplate ? { podTemplate } : {}),
      ...(namespace === undefined ? {} : { namespace }),
      ...(serviceAccount === undefined ? {} : { serviceAccount }),
    },
  };
}

/** Of an object of Kubernetes. */
function named(env: NodeJS.ProcessEnv, variable: string): string | undefined {
  const given = env[variable];
  if (given === undefined || given === "") return undefined;
  if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(given))
    throw new CliError(`${variable} is "${given}": a name in Kubernetes is of lower-case letters, digits and hyphens.`, exit.usage);
  return given;
}

function address(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const given = env[name];
  if (given === undefined || given === "") return undefined;
  if (!/^https?:\/\//.test(given) || !URL.canParse(given)) {
    const example =
      name === "RAY_ADDRESS" ? "the address of the Jobs API, as http://ray-head:8265" : "the address at which nodes reach this server, as http://millrace:4600";
    throw new CliError(`${name} is "${given}": give ${example}.`, exit.usage);
  }
  return given.replace(/\/+$/, "");
}
