/** How a server was asked to run. */
export interface ServerConfig {
  host: string;
  /** 0 takes any free port. */
  port: number;
  /** Of the Open Inference Protocol over gRPC; 0 takes any free one. Without it, there is none. */
  grpcPort?: number;
  dataDir: string;
  /** An external PostgreSQL; without it one runs embedded in the data folder. */
  databaseUrl?: string;
  /** To PostgreSQL, at most, beside a few that hold locks or wait for news. Default 20. */
  connections?: number;
  /** An S3 bucket for data; without it, a folder of the data folder. */
  objects?: ObjectsConfig;
  /** Addresses below which experiments may keep their artifacts elsewhere, where clients reach them by themselves, as `s3://team/`. */
  artifactLocations?: string[];
  /** Limits of SQL over tables. Default 2,000 MB and two threads; what needs more memory spills to the data folder. */
  duckdb?: { memoryMb?: number; threads?: number };
  /** Where rows may be ingested from. */
  ingestion?: {
    /** Addresses in S3 below which files may be read, as `s3://landing/flights/`. Default none. */
    s3?: string[];
    /** Connections to PostgreSQL by the names that definitions and commands use. */
    connections?: Record<string, string>;
  };
  /** Where readers find features online; without it, PostgreSQL. */
  online?: {
    /** `redis://host:6379/0`, or `rediss://`. */
    url: string;
  };
  /** What models that are open may take together, by what is known of them. Default a quarter of the machine's memory. */
  modelMemoryBytes?: number;
  /** Whether a prediction waits until the disk has its row in the log. Without it, the system has: a machine that fails, and not a process, loses the rows of a tenth of a second. */
  predictions?: { sync: boolean };
  /** Of ONNX Runtime, the first choice first, as `["cuda", "cpu"]`. Default the processor alone. */
  onnxProviders?: string[];
  clock: { kind: "system" } | { kind: "replay"; from: Date };
  logLevel: string;
  webhooks?: {
    /** Default `https` alone. */
    schemes?: string[];
    /** Of addresses that are not public, those that may be reached, as `10.0.0.0/8`. Default none. */
    networks?: string[];
    /** How often a delivery is tried. Default 8. */
    attempts?: number;
    /** From the first attempt to the second; each pause after it is four times as long. Default a second. */
    retryMs?: number;
  };
  compute?: ComputeConfig;
  gc?: {
    /** For how long what was deleted can be restored, as `30d`. */
    olderThan: string;
  };
  /** How the `millrace` command is run, as by `[node, main.js]`: what watched repositories hold is built by it. */
  command?: string[];
  /** Where the built console lies; without it `/` says how to build it. */
  consoleFolder?: string;
}
export interface ComputeConfig {
  /** Where the nodes of a cluster reach this server; default the address that it listens on. */
  advertiseUrl?: string;
  /** How large the folder of a step may grow while it runs. */
  folderBytes?: number;
  /** A Ray cluster: the address of its Jobs API, and a token where it asks for one. */
  ray?: { address: string; token?: string };
  kubernetes?: KubernetesConfig;
}
/** A Kubernetes cluster, and what the pods of steps are like there. */
export interface KubernetesConfig {
  /** As a pod within the cluster, or as `KUBECONFIG` and ~/.kube/config say. */
  from: "in-cluster" | "kubeconfig";
  /** Of the kubeconfig; default its current one. */
  context?: string;
  /** Default the context's, or the pod's own. */
  namespace?: string;
  /** With Python 3.10 or newer. */
  image?: string;
  serviceAccount?: string;
  /** A file, YAML or JSON, with `metadata` and `spec` of a pod: what every pod of a step has beside what is made for it. */
  podTemplate?: string;
}
export interface ObjectsConfig {
  /** `s3://bucket/prefix` */
  url: string;
  /** Whether clients can reach the store themselves, for large artifacts. */
  direct: boolean;
  /** Of objects that this machine reads as files so much is kept. */
  cacheBytes: number;
}
export const version = "0.1.0";
