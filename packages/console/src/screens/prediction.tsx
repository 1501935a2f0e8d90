import type { Lineage, LineageNode, Prediction as PredictionBody } from "@millrace/sdk/api";
import { Link, useParams } from "@tanstack/react-router";
import { useMemo } from "react";
import { useApi } from "../api";
import { duration, number, value, words } from "../format";
import { type Box, Graph, type Line } from "../graph";
import { ExplanationPanel } from "../serving/explanation";
import { Values } from "../serving/predictions";
import { ReplayButton } from "../serving/replay";
import { Route } from "../serving/route";
import { Facts, Page, Panel, Read, Time } from "../ui";
import { useUrl } from "../url";

export function Prediction() {
  const { id = "" } = useParams({ strict: false });
  const prediction = useApi<PredictionBody>(`/predictions/${encodeURIComponent(id)}`);
  // What no version answered comes from nowhere.
  const answered = prediction.data !== undefined && prediction.data.version > 0;
  const lineage = useApi<Lineage>(answered ? `/lineage/prediction/${encodeURIComponent(id)}` : undefined, 60_000);
  return (
    <Page title={`Prediction ${id}`}>
      <Read query={prediction}>
        {(data) => (
          <div className="grid grid-cols-[minmax(0,1fr)] items-start gap-3 lg:grid-cols-[24rem_minmax(0,1fr)]">
            <Panel title="Answer">
              <p className="pb-2 text-3xl font-semibold">{number(data.prediction, 4)}</p>
              <Facts
                of={[
                  [
                    "endpoint",
                    <Link key="endpoint" className="link" to="/endpoints/$name" params={{ name: data.endpoint }}>
                      {data.endpoint}
                    </Link>,
                  ],
                  [
                    "model",
                    <Link
                      key="model"
                      className="link"
                      to="/models/$name"
                      params={{ name: data.model }}
                      search={data.version === 0 ? {} : { version: String(data.version) }}
                    >
                      {data.model} {data.version === 0 ? "" : data.version}
                    </Link>,
                  ],
                  ["route", <Route key="route" of={data.route} />],
                  ...(data.key === null ? [] : [["key", data.key] as const]),
                  ...(data.rollout === null
                    ? []
                    : [
                        [
                          "by the rule of",
                          <Link key="rollout" className="link" to="/endpoints/$name" params={{ name: data.endpoint }} search={{ rollout: data.rollout }}>
                            a rollout
                          </Link>,
                        ] as const,
                      ]),
                  ["asked", <Time key="at" at={data.at} />],
                  ["by", data.caller ?? "–"],
                  ["answered in", duration(data.latencyMs)],
                  ["label", data.label === null ? "not yet known" : String(data.label)],
                  ["labelled", <Time key="labelled" at={data.labelledAt} />],
                ]}
              />
              {data.version > 0 && <ReplayButton id={id} />}
            </Panel>
            <div className="space-y-3">
              {(
                [
                  ["Request", data.request],
                  ["Features at that moment", data.features],
                  ["Inputs", data.inputs],
                  ["Outputs", data.outputs],
                ] as const
              )
                .filter(([, values]) => Object.keys(values).length > 0)
                .map(([title, values]) => (
                  <Panel key={title} title={title}>
                    <Values of={values} />
                  </Panel>
                ))}
            </div>
          </div>
        )}
      </Read>
      {answered && <ExplanationPanel id={id} />}
      {answered && <Read query={lineage}>{(data) => <LineageView of={data} id={id} />}</Read>}
    </Page>
  );
}

/** A node's id is `<kind>/<id of that kind>`. */
const screenOf = ({ kind, id }: LineageNode): string | undefined => {
  const own = id.slice(kind.length + 1);
  const [name = "", version = ""] = own.split("/");
  if (kind === "run") return `/runs/${encodeURIComponent(own)}`;
  if (kind === "step") return `/runs/${name}?step=${version}`;
  if (kind === "model_version") return `/models/${name}?version=${version}`;
  if (kind === "dataset_version") return `/datasets/${name}?version=${version}`;
  return undefined;
};

/** Without the steps: what they read and made is their run's. */
function withoutSteps({ root, nodes, edges }: Lineage): Lineage {
  const steps = new Set(nodes.flatMap((one) => (one.kind === "step" ? [one.id] : [])));
  const own = (id: string): string => (steps.has(id) ? `run/${id.split("/")[1]}` : id);
  const pairs = new Map(edges.map((edge) => [`${own(edge.from)} ${own(edge.to)}`, { from: own(edge.from), to: own(edge.to) }]));
  return { root, nodes: nodes.filter((one) => !steps.has(one.id)), edges: [...pairs.values()].filter((edge) => edge.from !== edge.to) };
}

/** The files of one version as one node where they are many. */
function gathered({ nodes, edges }: Lineage): Pick<Lineage, "nodes" | "edges"> {
  const kinds = new Map(nodes.map((one) => [one.id, one.kind]));
  const files = new Map<string, Lineage["edges"]>();
  for (const edge of edges) if (kinds.get(edge.to) === "file") files.set(edge.from, [...(files.get(edge.from) ?? []), edge]);
  const many = [...files].filter(([, one]) => one.length > 2);
  const away = new Set(many.flatMap(([, one]) => one.map((edge) => edge.to)));
  const labels = new Map(nodes.map((one) => [one.id, one.label]));
  return {
    nodes: [
      ...nodes.filter((one) => !away.has(one.id)),
      ...many.map(([from, one]) => ({
        kind: "file",
        id: `files of ${from}`,
        label: `${one.length} files`,
        facts: { first: labels.get(one[0]?.to ?? ""), last: labels.get(one.at(-1)?.to ?? ""), files: one.map((edge) => labels.get(edge.to)).join(", ") },
      })),
    ],
    edges: [
      ...edges.filter((edge) => !away.has(edge.to) && kinds.has(edge.from) && kinds.has(edge.to)),
      ...many.map(([from]) => ({ from, to: `files of ${from}` })),
    ],
  };
}
function LineageView({ of, id }: { of: Lineage; id: string }) {
  const [{ node, steps }, change] = useUrl();
  const shown = useMemo(() => gathered(steps === "shown" ? of : withoutSteps(of)), [of, steps]);
  const boxes = useMemo<Box[]>(
    () =>
      shown.nodes.map((one) => ({
        id: one.id,
        kind: words(one.kind),
        title: one.kind === "run" ? one.label.replace(/\b[0-9a-f]{24}([0-9a-f]{8})\b/, "$1") : one.label,
        lines: [facts(one)],
        selected: one.id === node,
        href: `/predictions/${encodeURIComponent(id)}?${new URLSearchParams({ ...(steps === undefined ? {} : { steps }), node: one.id })}`,
      })),
    [shown, node, id, steps],
  );
  // Edges lead to what a thing was made from; they are drawn from the sources to the prediction.
  const lines = useMemo<Line[]>(() => shown.edges.map((edge) => ({ from: edge.to, to: edge.from })), [shown]);
  const chosen = shown.nodes.find((one) => one.id === node);
  const screen = chosen === undefined ? undefined : screenOf(chosen);
  return (
    <Panel
      title="Lineage"
      actions={
        <>
          <span className="text-muted">from files and commit, on the left, to this prediction</span>
          <button type="button" className="button" onClick={() => change({ steps: steps === "shown" ? undefined : "shown" })}>
            {steps === "shown" ? "Without steps" : "With steps"}
          </button>
        </>
      }
      flush
    >
      <Graph label="Lineage of the prediction" boxes={boxes} lines={lines} height={330} />
      {chosen !== undefined && (
        <div className="border-t border-line p-3">
          <h3 className="pb-1 font-semibold">
            {words(chosen.kind)} {chosen.label}{" "}
            {screen !== undefined && (
              <a className="link ml-2 font-normal" href={screen}>
                open
              </a>
            )}
          </h3>
          <Facts of={Object.entries(chosen.facts).map(([name, fact]) => [words(name), value(fact)] as const)} />
        </div>
      )}
    </Panel>
  );
}
/** The fact that tells most of a node of this kind. */
const telling: Record<string, string> = {
  prediction: "probability",
  model_version: "auc",
  run: "state",
  step: "kind",
  dataset_version: "rows",
  file: "rows",
  project_version: "by",
  commit: "dirty",
};
function facts({ kind, facts: of }: LineageNode): string {
  const name = telling[kind] ?? "";
  const fact = of[name];
  if (kind === "commit") return fact === true ? "with changes not committed" : "as committed";
  return fact === undefined ? "" : typeof fact === "number" ? `${words(name)} ${number(fact)}` : value(fact);
}
