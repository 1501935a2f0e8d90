import type { Prediction } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { Fragment } from "react";
import { type Listed, useApi } from "../api";
import { Chart } from "../chart";
import { count, number, value } from "../format";
import { Empty, Facts, Read, Table, Time } from "../ui";
import { useUrl } from "../url";
import { Route } from "./route";

/** The last predictions, and what one of them was made from. */
export function Predictions({ endpoint, features }: { endpoint: string; features: boolean }) {
  const [{ prediction }, change] = useUrl();
  const predictions = useApi<Listed<Prediction>>(`/endpoints/${encodeURIComponent(endpoint)}/predictions?limit=200`, 5_000);
  return (
    <Read query={predictions}>
      {({ items }) => {
        if (items.length === 0) return <Empty>Nobody has asked this endpoint yet.</Empty>;
        const open = items.find((one) => one.id === prediction);
        return (
          <>
            <Table
              label="Recent predictions"
              rows={items}
              id={(one) => one.id}
              height={open === undefined ? 600 : 330}
              selected={prediction}
              columns={[
                {
                  head: "Prediction",
                  cell: (one) => (
                    <Link
                      className="link block max-w-36 truncate font-mono 2xl:max-w-64 text-[12px]"
                      title={one.id}
                      to="/predictions/$id"
                      params={{ id: one.id }}
                    >
                      {one.id}
                    </Link>
                  ),
                },
                { head: "At", cell: (one) => <Time at={one.at} /> },
                {
                  head: "Version",
                  cell: (one) => (
                    <>
                      {one.version === 0 ? "–" : one.version} {one.route !== "stable" && <Route of={one.route} />}
                    </>
                  ),
                },
                {
                  head: features ? "Score" : "Output",
                  right: true,
                  cell: (one) => <b className="font-medium">{features && one.prediction !== null ? one.prediction.toFixed(3) : number(one.prediction)}</b>,
                },
                { head: "Label", right: true, cell: (one) => (one.label === null ? <span className="text-muted">–</span> : number(one.label)) },
                {
                  head: features ? "Request" : "Inputs",
                  wide: true,
                  cell: (one) => (
                    <span className="line-clamp-1 min-w-40 break-all text-muted">
                      {Object.values({ ...one.request, ...one.inputs })
                        .filter((part) => !isMoment(part))
                        .map(short)
                        .join(" · ")}
                    </span>
                  ),
                },
                {
                  head: features ? "Features" : "Tensors",
                  cell: (one) => {
                    const held = Object.keys({ ...one.features, ...one.inputs, ...one.outputs }).length;
                    if (held === 0) return <span className="text-muted">–</span>;
                    return (
                      <button
                        type="button"
                        className="link"
                        aria-expanded={one.id === prediction}
                        onClick={() => change({ prediction: one.id === prediction ? undefined : one.id })}
                      >
                        {one.id === prediction ? "hide" : `show ${held}`}
                      </button>
                    );
                  },
                },
              ]}
            />
            {open !== undefined && <Open of={open} />}
          </>
        );
      }}
    </Read>
  );
}
const isMoment = (part: unknown): boolean => typeof part === "string" && /^\d{4}-\d\d-\d\dT/.test(part);

const Open = ({ of }: { of: Prediction }) => (
  <div className="space-y-2 border-t border-line pt-3">
    {(
      [
        ["Features", of.features],
        ["Inputs", of.inputs],
        ["Outputs", of.outputs],
      ] as const
    )
      .filter(([, values]) => Object.keys(values).length > 0)
      .map(([name, values]) => (
        <section key={name}>
          <h3 className="break-all pb-1 font-semibold">
            {name} of {of.id}
          </h3>
          <Values of={values} />
        </section>
      ))}
  </div>
);

/** Names and values side by side, as many as find room. */
export const Values = ({ of }: { of: Record<string, unknown> }) => (
  <dl className="grid grid-cols-[max-content_minmax(0,1fr)] gap-x-4 gap-y-0.5 md:grid-cols-[repeat(2,max-content_minmax(0,1fr))] 2xl:grid-cols-[repeat(3,max-content_minmax(0,1fr))]">
    {Object.entries(of).map(([name, one]) => (
      <Fragment key={name}>
        <dt className="max-w-48 truncate text-muted" title={name}>
          {name}
        </dt>
        <dd className="break-words font-mono text-[12px]" title={typeof one === "object" ? JSON.stringify(one).slice(0, 2_000) : undefined}>
          {one === null ? "null" : short(one)}
        </dd>
      </Fragment>
    ))}
  </dl>
);

const most = 8;
/** Lists, which tensors are, by their first values. */
function short(of: unknown): string {
  if (!Array.isArray(of)) return value(of);
  const shown = of.slice(0, most).map(short).join(", ");
  return `[${shown}${of.length > most ? `, … ${count(of.length - most)} more` : ""}]`;
}

/** How the last predictions spread, and of probabilities how many of each bin turned out positive. */
export function Scores({ endpoint, features }: { endpoint: string; features: boolean }) {
  const predictions = useApi<Listed<Prediction>>(`/endpoints/${encodeURIComponent(endpoint)}/predictions?limit=1000`, 5_000);
  return (
    <Read query={predictions}>
      {({ items }) => (items.length === 0 ? <Empty>Nobody has asked this endpoint yet.</Empty> : <Spread of={items} probabilities={features} />)}
    </Read>
  );
}
function Spread({ of, probabilities }: { of: Prediction[]; probabilities: boolean }) {
  const known = of.flatMap((one) => (one.prediction === null ? [] : [one.prediction]));
  if (known.length === 0) return <Empty>What this endpoint answers is not one number a row.</Empty>;
  const [from, to] = probabilities ? [0, 1] : [Math.min(...known), Math.max(...known)];
  const width = (to - from) / 20 || 1;
  const bins = Array.from({ length: 20 }, (_, i) => ({ at: from + (i + 0.5) * width, rows: 0, labelled: 0, positive: 0 }));
  for (const one of of) {
    const bin = one.prediction === null ? undefined : bins[Math.min(19, Math.floor((one.prediction - from) / width))];
    if (bin === undefined) continue;
    bin.rows++;
    if (one.label !== null) {
      bin.labelled++;
      bin.positive += one.label;
    }
  }
  const x = bins.map((bin) => bin.at);
  return (
    <div className="pt-2">
      <Facts of={[["of", `the last ${count(of.length)} predictions, ${count(of.filter((one) => one.label !== null).length)} of them labelled`]]} />
      <Chart label="Predictions by score" along="score" x={x} height={220} series={[{ name: "predictions", values: bins.map((bin) => bin.rows) }]} />
      {probabilities && of.some((one) => one.label !== null) && (
        <Chart
          label="Observed share by score"
          along="score"
          x={x}
          height={220}
          range={[0, 1]}
          series={[
            { name: "observed share of positives", values: bins.map((bin) => (bin.labelled < 3 ? null : bin.positive / bin.labelled)), points: true },
            { name: "ideal", values: x, dashed: true },
          ]}
        />
      )}
    </div>
  );
}
