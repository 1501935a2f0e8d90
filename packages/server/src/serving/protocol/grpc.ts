/** The Open Inference Protocol, version 2, over gRPC: the same endpoints, limits and permissions as over HTTP. Loaded where a port for it is set. */
import { fileURLToPath } from "node:url";
import {
  type Deadline,
  type handleUnaryCall,
  loadPackageDefinition,
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  status,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { Tensor } from "../../inference/index.js";
import { ApiError, type Authorize, errorAnswer, invalid, type Permission, type Platform, type Principal, StartError } from "../../platform/index.js";
import type { GivenTensor } from "../given.js";
import type { Exchange } from "./exchange.js";
import { largestBody, longestMs } from "./infer.js";
import { binaryOf, binaryTensor, jsonTensor, textOf, valuesIn } from "./tensors.js";

const proto = fileURLToPath(new URL("../../../proto/open_inference.proto", import.meta.url));

/** Whole numbers of 64 bits come as text, so that none is changed before it is looked at. */
interface Contents {
  bool_contents: boolean[];
  int_contents: number[];
  int64_contents: string[];
  uint_contents: number[];
  uint64_contents: string[];
  fp32_contents: number[];
  fp64_contents: number[];
  bytes_contents: Buffer[];
}
interface InferRequest {
  model_name: string;
  model_version: string;
  id: string;
  inputs: { name: string; datatype: string; shape: string[]; contents: Contents | null }[];
  outputs: { name: string }[];
  raw_input_contents: Buffer[];
  parameters: Record<string, { bool_param?: boolean; int64_param?: string; uint64_param?: string; string_param?: string } | undefined>;
}
interface Named {
  name: string;
  version: string;
}

export interface GrpcServer {
  /** `127.0.0.1:9000` */
  address: string;
  stop(): Promise<void>;
}

export async function openGrpc(
  { log, clock, config }: Pick<Platform, "log" | "clock" | "config">,
  authorize: Authorize,
  exchange: Exchange,
  port: number,
): Promise<GrpcServer> {
  const definition = loadPackageDefinition(loadSync(proto, { keepCase: true, longs: String, defaults: true, arrays: true, oneofs: false }));
  const server = new Server({
    "grpc.max_receive_message_length": largestBody,
    "grpc.max_concurrent_streams": 1_000,
    // Counts of calls and messages for a service that is not offered.
    "grpc.enable_channelz": 0,
    // Clients that went away without a word are found out.
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
  });

  /** A call whose caller may make it, with errors as gRPC has them. */
  function call<Q, A>(permission: Permission, answer: (request: Q, asked: ServerUnaryCall<Q, A>, caller: Principal) => Promise<A> | A): handleUnaryCall<Q, A> {
    return (asked, reply) => {
      const [authorization] = asked.metadata.get("authorization");
      const headers = { host: asked.getHost(), ...(authorization === undefined ? {} : { authorization: String(authorization) }) };
      const made = async () => {
        const principal = authorize({ headers, method: "POST", permission });
        return answer(asked.request, asked, principal instanceof Promise ? await principal : principal);
      };
      made().then(
        (value) => reply(null, value),
        (error: unknown) => {
          const { status: code, body, retryAfter } = errorAnswer(error, log, asked.getPath());
          const metadata = new Metadata();
          if (retryAfter !== undefined) metadata.set("retry-after", String(retryAfter));
          reply({ code: codes[code] ?? (code < 500 ? status.INVALID_ARGUMENT : status.INTERNAL), details: body.error.message, metadata });
        },
      );
    };
  }

  const model = ({ name, version }: Named) => [name, version === "" ? undefined : version] as const;
  const handlers = {
    ServerLive: call("public", () => ({ live: true })),
    ServerReady: call("public", () => ({ ready: true })),
    ServerMetadata: call("endpoints:read", () => exchange.server()),
    // Of what is not there a client hears that it is not ready, as of Triton.
    ModelReady: call("endpoints:read", async (request: Named) => ({
      ready: await exchange.ready(...model(request)).catch((error: unknown) => {
        if (error instanceof ApiError && error.status === 404) return false;
        throw error;
      }),
    })),
    ModelMetadata: call("endpoints:read", async (request: Named) => exchange.model(...model(request))),
    RepositoryIndex: call("endpoints:read", async (request: { ready: boolean }) => ({ models: await exchange.index(request.ready) })),
    RepositoryModelLoad: call("endpoints:write", async (request: { model_name: string }) => {
      await exchange.load(request.model_name);
      return {};
    }),
    RepositoryModelUnload: call("endpoints:write", async (request: { model_name: string }) => {
      await exchange.unload(request.model_name);
      return {};
    }),
    ModelInfer: call("predictions:write", async (request: InferRequest, asked, { name: caller }) => {
      if (request.id.length > 190) throw invalid("An id has at most 190 characters.");
      const { id, version, outputs } = await exchange.infer(request.model_name, {
        id: request.id === "" ? undefined : request.id,
        version: request.model_version === "" ? undefined : request.model_version,
        key: asked.metadata.get("millrace-key")[0] ?? request.parameters.millrace_key?.string_param,
        inputs: tensorsOf(request),
        outputs: request.outputs.map(({ name }) => name),
        caller,
        explain: parameterOf(request.parameters.explain),
        moment: clock.now(),
        deadline: performance.now() + Math.min(longestMs, millisecondsLeft(asked.getDeadline())),
        signal: {
          get aborted() {
            return asked.cancelled;
          },
        },
      });
      // A client is answered in the form in which it asks; half floats have no other than raw.
      const raw = request.raw_input_contents.length > 0 || outputs.some(({ datatype }) => datatype === "FP16");
      return {
        model_name: request.model_name,
        model_version: String(version),
        id,
        parameters: { version: { int64_param: version } },
        outputs: outputs.map((output) => {
          const { name, datatype, shape } = output;
          return raw ? { name, datatype, shape } : { name, datatype, shape, contents: contentsOf(output) };
        }),
        raw_output_contents: raw ? outputs.map(binaryOf) : [],
      };
    }),
  };
  server.addService(serviceOf(definition), handlers);

  const { host } = config;
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`, ServerCredentials.createInsecure(), (error, at) => {
      if (error === null) resolve(at);
      else reject(new StartError(`The port ${port} of ${host} can't be had for gRPC. Choose another with --grpc-port, or 0 for any that is free.`));
    });
  });
  return {
    address: `${host}:${bound}`,
    stop: () =>
      new Promise((resolve) => {
        const late = setTimeout(() => server.forceShutdown(), stopMs);
        server.tryShutdown(() => {
          clearTimeout(late);
          resolve();
        });
      }),
  };
}

/** A parameter is one of these; what it is not is told as its default. */
function parameterOf(parameter: InferRequest["parameters"][string]): boolean | number | undefined {
  if (parameter === undefined) return undefined;
  const number = Number(parameter.int64_param ?? 0) || Number(parameter.uint64_param ?? 0);
  return number === 0 ? parameter.bool_param === true : number;
}
const millisecondsLeft = (deadline: Deadline): number => (deadline instanceof Date ? deadline.getTime() : deadline) - Date.now();

/** What is under way may end. */
const stopMs = 2_000;
const codes: Record<number, status> = {
  400: status.INVALID_ARGUMENT,
  401: status.UNAUTHENTICATED,
  403: status.PERMISSION_DENIED,
  404: status.NOT_FOUND,
  409: status.FAILED_PRECONDITION,
  413: status.RESOURCE_EXHAUSTED,
  422: status.INVALID_ARGUMENT,
  429: status.RESOURCE_EXHAUSTED,
  499: status.CANCELLED,
  503: status.UNAVAILABLE,
  504: status.DEADLINE_EXCEEDED,
};

function serviceOf(definition: ReturnType<typeof loadPackageDefinition>): ServiceDefinition {
  const { inference } = definition;
  if (inference === undefined || typeof inference === "function" || "format" in inference) throw new Error(`${proto} has no package "inference".`);
  const { GRPCInferenceService: service } = inference;
  if (typeof service !== "function") throw new Error(`${proto} has no service "GRPCInferenceService".`);
  return service.service;
}

function tensorsOf({ inputs, raw_input_contents: raw }: InferRequest): GivenTensor[] {
  if (raw.length > 0 && raw.length !== inputs.length)
    throw invalid(`The request has ${inputs.length} inputs, and raw contents for ${raw.length}: give them for all, or for none.`);
  return inputs.map(({ name, datatype, shape, contents }, at) => {
    const bytes = raw[at];
    if (bytes !== undefined && contents !== null) throw invalid(`The input "${name}" has both contents and raw contents.`);
    const said = { name, datatype, shape: shape.map((size) => sizeOf(name, size)) };
    return bytes === undefined ? contentsTensor(said, contents) : binaryTensor(said, bytes);
  });
}
function sizeOf(name: string, text: string): number {
  const size = Number(text);
  if (!Number.isSafeInteger(size) || size < 0) throw invalid(`The input "${name}" has a size of ${text} in its shape.`);
  return size;
}

const fields = {
  BOOL: "bool_contents",
  INT8: "int_contents",
  INT16: "int_contents",
  INT32: "int_contents",
  INT64: "int64_contents",
  UINT8: "uint_contents",
  UINT16: "uint_contents",
  UINT32: "uint_contents",
  UINT64: "uint64_contents",
  FP32: "fp32_contents",
  FP64: "fp64_contents",
  BYTES: "bytes_contents",
} as const satisfies Record<string, keyof Contents>;
const isField = (datatype: string): datatype is keyof typeof fields => datatype in fields;

function contentsTensor(said: Pick<GivenTensor, "name" | "datatype" | "shape">, contents: Contents | null): GivenTensor {
  const { name, datatype } = said;
  if (!isField(datatype)) throw invalid(`The input "${name}" of ${datatype} has no form of contents: give it as raw contents.`);
  const found = contents?.[fields[datatype]] ?? [];
  const tensor = jsonTensor(
    said,
    found.map((value: boolean | number | string | Buffer) =>
      typeof value === "string" ? Number(value) : Buffer.isBuffer(value) ? textOf(name, value) : value,
    ),
  );
  if (datatype !== "INT64" && datatype !== "UINT64" && datatype !== "BYTES") return tensor;
  return {
    ...tensor,
    data(count) {
      if (found.length !== count) throw invalid(`The input "${name}" has ${found.length} values for a shape of ${count}.`);
      if (datatype === "BYTES") return contents?.bytes_contents ?? [];
      const values = [...found].map((value: boolean | number | string | Buffer) => BigInt(String(value)));
      return datatype === "INT64" ? BigInt64Array.from(values) : BigUint64Array.from(values);
    },
  };
}
function contentsOf({ datatype, data }: Tensor): Partial<Record<keyof Contents, unknown[]>> {
  if (!isField(datatype)) throw new Error(`${datatype} has no form of contents`);
  const values = Array.from(valuesIn(datatype, data), (value) =>
    typeof value === "bigint" ? String(value) : datatype === "BYTES" ? Buffer.from(value instanceof Uint8Array ? value : String(value ?? "")) : value,
  );
  return { [fields[datatype]]: values };
}
