/** The figures side by side, each with its ratio to the better of MLflow's and with what was to be reached. */
const at = (test, field, clients) => (lines) => lines.find((line) => line.test === test && (clients === undefined || line.clients === clients))?.[field];
const higher = (what, read, goal) => ({ what, read, goal, better: (a, b) => a > b, ratio: (own, other) => own / other });
const lower = (what, read, goal) => ({ what, read, goal, better: (a, b) => a < b, ratio: (own, other) => other / own });

const rows = [
  lower("ready after start, s", at("start", "ready_s"), "under 1"),
  lower("memory, idle, MiB (shared once)", at("start", "pss"), "under 300"),
  lower("memory, idle, MiB (sum of each process)", at("start", "rss")),
  higher("create-run, 1 client, /s", at("create-run", "per_s", 1)),
  higher("create-run, 8 clients, /s", at("create-run", "per_s", 8), "20 × MLflow"),
  higher("create-run, 32 clients, /s", at("create-run", "per_s", 32), "20 × MLflow"),
  higher("log-batch of 1, 1 client, /s", at("log-batch-1", "per_s", 1)),
  higher("log-batch of 1, 8 clients, /s", at("log-batch-1", "per_s", 8)),
  higher("log-batch of 1, 32 clients, /s", at("log-batch-1", "per_s", 32)),
  higher("log-batch of 100, 8 clients, metrics/s", at("log-batch-100", "metrics_per_s", 8), "40,000"),
  higher("log-batch of 1,000, 8 clients, metrics/s", at("log-batch-1000", "metrics_per_s", 8), "80,000"),
  higher("mlflow.log_metric in a loop, /s", at("mlflow.log_metric", "per_s"), "10 × MLflow"),
  lower("search, filter and order, p50 ms", at("search-filter-order", "p50_ms")),
  lower("search, filter and order, p95 ms", at("search-filter-order", "p95_ms"), "under 30"),
  lower("search over 1,000,000 runs, p50 ms", at("million-search-filter-order", "p50_ms")),
  lower("search over 1,000,000 runs, p95 ms", at("million-search-filter-order", "p95_ms"), "under 100"),
  lower("history of 100,000 points, ms", at("history", "ms"), "under 1,000"),
  higher("artifact up, MiB/s", at("artifact", "up_mib_per_s"), "4 × MLflow"),
  higher("artifact down, MiB/s", at("artifact", "down_mib_per_s"), "4 × MLflow"),
  lower("memory after all of it, MiB (shared once)", at("memory-after", "pss")),
  lower("by alias, 1 client, p50 ms", at("get-by-alias", "p50_ms", 1), "under 2"),
  higher("by alias, 8 clients, /s", at("get-by-alias", "per_s", 8)),
];

export function table(results) {
  const [own] = results;
  const others = results.filter((one) => one !== own);
  const lines = rows.flatMap(({ what, read, goal, better, ratio }) => {
    const values = results.map(({ lines: of }) => read(of));
    if (values.every((value) => value === undefined || value === null)) return [];
    const best = others
      .map(({ lines: of }) => read(of))
      .filter((value) => typeof value === "number")
      .reduce((a, b) => (a === undefined || better(b, a) ? b : a), undefined);
    const [mine] = values;
    const times = typeof mine === "number" && best !== undefined ? `${ratio(mine, best).toPrecision(3)} ×` : "";
    return [[what, ...values.map((value) => (value === undefined || value === null ? "–" : value.toLocaleString("en"))), times, goal ?? ""]];
  });
  const failures = results.flatMap(({ name, lines: of }) =>
    of
      .filter((line) => line.failed || line.errors > 0)
      .map(
        (line) =>
          `${name}: ${line.test}${line.clients ? ` with ${line.clients} clients` : ""}: ${line.failed ?? `${line.errors} errors, first: ${line.first_error}`}`,
      ),
  );
  const head = ["work", ...results.map(({ name }) => name), "ratio", "to reach"];
  const all = [head, head.map(() => "---"), ...lines];
  return [...all.map((cells) => `| ${cells.join(" | ")} |`), ...(failures.length > 0 ? ["", ...failures] : [])].join("\n");
}
