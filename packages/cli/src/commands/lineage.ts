import type { Lineage, LineageNode } from "@millrace/sdk/api";
import { print, printJson, tell } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

const kinds = ["prediction", "model_version", "run", "tracking_run", "logged_model", "dataset", "dataset_version"];

export async function lineage(asked: string, options: ServerOptions & { json?: boolean }): Promise<void> {
  // An id may have slashes itself, as a model version's.
  const kind = kinds.find((one) => asked.startsWith(`${one}/`));
  const client = connect(options);
  const id = kind === undefined ? asked : asked.slice(kind.length + 1);
  if (options.json) return printJson(await client.lineage(kind ?? "prediction", id, "both"));
  const back = await client.lineage(kind ?? "prediction", id);
  print(tree(back).join("\n"));
  const forward = await client.lineage(kind ?? "prediction", id, "forward");
  const made = tree({ ...forward, edges: forward.edges.map(({ from, to }) => ({ from: to, to: from })) });
  if (made.length > 1) print(`\nmade of it:\n${made.join("\n")}`);
  if (back.more || forward.more) tell("There is more than is told here.");
}

/** Each thing under what was made from it; what has been told above is only named again. */
export function tree({ root, nodes, edges }: Lineage): string[] {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const told = new Set<string>();
  const lines: string[] = [];
  function show(id: string, lead: string, childLead: string): void {
    const node = byId.get(id);
    if (node === undefined) return;
    const again = told.has(id);
    const from = edges.filter((edge) => edge.from === id).map((edge) => edge.to);
    lines.push(`${lead}${describe(node)}${again && from.length > 0 ? " (above)" : ""}`);
    if (again) return;
    told.add(id);
    from.forEach((next, index) => {
      const last = index === from.length - 1;
      show(next, `${childLead}${last ? "└─ " : "├─ "}`, `${childLead}${last ? "   " : "│  "}`);
    });
  }
  show(root, "", "");
  return lines;
}

function describe({ kind, label, facts }: LineageNode): string {
  const shown = Object.entries(facts)
    .filter(([, value]) => value !== null && typeof value !== "object" && value !== "")
    .map(([name, value]) => `${name} ${typeof value === "string" && /^sha256:/.test(value) ? value.slice(0, 19) : String(value)}`);
  return `${kind.replaceAll("_", " ")} ${label}${shown.length === 0 ? "" : `  (${shown.join(", ")})`}`;
}
