import type { ModelVersionDetail } from "@millrace/sdk/api";
import type { Datasets } from "../../datasets/index.js";
import type { LineageService } from "../../lineage/index.js";
import type { GateOf, Verdict } from "./types.js";

export interface On {
  lineage: LineageService;
  datasets: Pick<Datasets, "version">;
}

/** Whether validation looked at every version of a dataset that a model was made from, and found it good. */
export function createDataGate(on: On) {
  return async ({ accepted }: GateOf<"data_validated">, { model, version }: ModelVersionDetail): Promise<Verdict> => {
    const { nodes, more } = await on.lineage.lineage("model_version", `${model}/${version}`, "back");
    const data = nodes.filter((node) => node.kind === "dataset_version").map((node) => node.id.replace(/^dataset_version\//, ""));
    if (data.length === 0) return { passed: false, message: "No dataset of this server is known to be what it was made from." };
    if (more === true) return { passed: false, message: "It was made from more than its lineage tells, so that not all of it can be looked at." };
    const wrong: string[] = [];
    const byPeople: string[] = [];
    for (const id of data) {
      const cut = id.lastIndexOf("/");
      const found = await on.datasets.version(id.slice(0, cut), Number(id.slice(cut + 1)));
      if (found.report === null) wrong.push(`${id} was not validated: its dataset has no schema`);
      else if (found.quarantine !== undefined && !accepted) wrong.push(`${id} was refused, and ${found.quarantine.by} accepted it: ${found.quarantine.reason}`);
      else if (found.quarantine !== undefined) byPeople.push(`${id} by ${found.quarantine.by}`);
    }
    if (wrong.length > 0)
      return { passed: false, message: `Of ${data.length} versions of datasets ${wrong.length} are not good: ${wrong.slice(0, 5).join("; ")}.` };
    const people = byPeople.length === 0 ? "" : `; people accepted ${byPeople.slice(0, 5).join(", ")}`;
    return { passed: true, message: `Validation looked at ${data.join(", ")}${people}.` };
  };
}
