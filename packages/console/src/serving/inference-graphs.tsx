/** Inference graphs as pictures: what a request goes through, from left to right. */
import type { InferenceGraph } from "@millrace/sdk/api";
import type { GraphNode } from "@millrace/sdk/spec";
import { useMemo, useState } from "react";
import { number } from "../format";
import { type Box, type Frame, Graph, type Line } from "../graph";
import { Badge, Panel } from "../ui";

/** More are drawn when they are asked for. */
const atOnce = 6;
const size = { width: 168, height: 62 };

export function InferenceGraphs({ of }: { of: InferenceGraph[] }) {
  const [shown, setShown] = useState(atOnce);
  return (
    <section aria-label="Inference graphs" className="space-y-3">
      <h2 className="pt-1 font-semibold">
        Inference graphs <span className="font-normal text-muted">endpoints and functions that answer as one</span>
      </h2>
      <div className="grid grid-cols-[minmax(0,1fr)] gap-3 xl:grid-cols-2">
        {of.slice(0, shown).map((one) => (
          <Panel
            key={`${one.project} ${one.name}`}
            className={isSmall(one.node) ? "" : "xl:col-span-2"}
            title={
              <span className="flex min-w-0 flex-wrap items-center gap-x-2">
                <span className="break-all">{one.name}</span>
                <span className="font-normal text-muted">{one.project}</span>
              </span>
            }
            actions={<Badge tone={one.ready ? "ok" : "warn"}>{one.ready ? "ready" : "not ready"}</Badge>}
          >
            {one.reason !== null && <p className="pb-1 text-warn">{one.reason}</p>}
            <Picture of={one} />
          </Panel>
        ))}
      </div>
      {of.length > shown && (
        <button type="button" className="button" onClick={() => setShown(shown + atOnce)}>
          Show {Math.min(atOnce, of.length - shown)} more of {of.length}
        </button>
      )}
    </section>
  );
}

/** It has room beside another. */
const isSmall = (node: GraphNode): boolean => [...parts(node)].length <= 2;
function* parts(node: GraphNode): Generator<GraphNode> {
  if (node.kind === "sequence") for (const one of node.nodes) yield* parts(one);
  else if (node.kind === "ensemble") for (const one of node.members) yield* parts(one.node);
  else yield node;
}

function Picture({ of: { name, node } }: { of: InferenceGraph }) {
  const { boxes, lines, frames } = useMemo(() => drawn(node), [node]);
  // On a narrow screen it is moved along, and can still be read.
  return (
    <div className="overflow-x-auto">
      <div className={isSmall(node) ? "" : "min-w-[48rem]"}>
        <Graph label={`Inference graph ${name}`} boxes={boxes} lines={lines} frames={frames} height={220} size={size} />
      </div>
    </div>
  );
}

interface Drawn {
  boxes: Box[];
  lines: Line[];
  frames: Frame[];
}
function drawn(root: GraphNode): Drawn {
  const all: Drawn = { boxes: [], lines: [], frames: [] };
  /** Draws a node behind those that lead to it, and answers what leads on from it. */
  function draw(node: GraphNode, id: string, from: string[], frame?: string, label?: string): string[] {
    const lead = (to: string) => {
      for (const one of from) all.lines.push({ from: one, to, label });
    };
    switch (node.kind) {
      case "endpoint":
        all.boxes.push({
          id,
          kind: "endpoint",
          title: node.endpoint,
          lines: [renamed(node.inputs)],
          href: `/endpoints/${encodeURIComponent(node.endpoint)}`,
          frame,
        });
        lead(id);
        return [id];
      case "transform":
        all.boxes.push({ id, kind: "function", title: node.name, lines: [`${Object.keys(node.in).join(", ")} → ${Object.keys(node.out).join(", ")}`], frame });
        lead(id);
        return [id];
      case "sequence": {
        let last = from;
        for (const [place, one] of node.nodes.entries()) last = draw(one, `${id}.${place}`, last, frame, place === 0 ? label : undefined);
        return last;
      }
      case "ensemble": {
        all.frames.push({ id, title: `ensemble of ${node.members.length}`, frame });
        const weighted = node.combine !== "each" && new Set(node.members.map((member) => member.weight)).size > 1;
        const join = `${id}.join`;
        for (const [place, member] of node.members.entries()) {
          const ends = draw(member.node, `${id}.${place}`, from, id);
          for (const end of ends) all.lines.push({ from: end, to: join, label: weighted ? `${member.name} × ${number(member.weight)}` : member.name });
        }
        all.boxes.push({ id: join, kind: "ensemble", title: combined[node.combine], lines: [node.combine], frame: id });
        return [join];
      }
    }
  }
  all.boxes.push({ id: "request", kind: "", title: "request" });
  const ends = draw(root, "node", ["request"]);
  all.boxes.push({ id: "answer", kind: "", title: "answer" });
  for (const end of ends) all.lines.push({ from: end, to: "answer" });
  return all;
}
const combined = { mean: "weighted mean", vote: "vote by weight", each: "each by itself" } as const;
const renamed = (inputs: Record<string, string> = {}): string =>
  Object.entries(inputs)
    .map(([name, from]) => `${name} = ${from}`)
    .join(", ");
