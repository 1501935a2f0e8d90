/** A run is started here: its params as a form, and before it begins what would run, and why. */
import type { Explanation, Run } from "@millrace/sdk/api";
import type { ParamSpec, ParamValue, PipelineSpec } from "@millrace/sdk/spec";
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Dialog } from "radix-ui";
import { type ReactNode, useEffect, useId, useMemo, useState } from "react";
import { ask, reasonOf, send } from "../api";
import { counted, value } from "../format";
import { Badge, Empty, Loading, NotDone, Table, type Tone } from "../ui";
import { areNumbers, parsed, type Texts, textOf } from "./params";

interface Start {
  pipeline: string;
  spec: PipelineSpec;
  /** What the form begins with, where it is not the defaults. */
  params?: Record<string, unknown>;
  resume?: string;
  from?: string;
  of?: string;
}

export function StartRun({ button, main = false, ...start }: Start & { button: ReactNode; main?: boolean }) {
  const [open, setOpen] = useState(false);
  return (
    <Dialog.Root open={open} onOpenChange={setOpen}>
      <Dialog.Trigger className={main ? "button button-main" : "button"}>{button}</Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Overlay className="overlay" />
        <Dialog.Content className="dialog top-[6vh] flex max-h-[88vh] w-[64rem] max-w-[94vw] flex-col">
          <Dialog.Title className="font-semibold">
            {start.resume !== undefined ? "Resume" : start.from !== undefined ? `Run ${start.pipeline} again from ${start.from}` : `Run ${start.pipeline}`}
          </Dialog.Title>
          <Dialog.Description className="mt-0.5 text-muted">
            {start.resume !== undefined
              ? "A new run takes over what the steps of this one gave, and does the rest."
              : start.from !== undefined
                ? "This step and what depends on it run again; what the others gave is taken over."
                : "What nothing has changed for is not run again."}
          </Dialog.Description>
          <Form {...start} />
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

const startOf = ({ spec, params }: Start): Texts =>
  Object.fromEntries(
    spec.params.map((param) => {
      const before = params?.[param.name];
      return [param.name, textOf(isValue(before) ? before : param.default)];
    }),
  );
const isValue = (of: unknown): of is ParamValue =>
  typeof of === "string" ||
  typeof of === "number" ||
  typeof of === "boolean" ||
  (Array.isArray(of) && of.every((one) => typeof one === "string" || typeof one === "number"));

function Form(start: Start) {
  const { pipeline, spec, resume, from, of } = start;
  const [texts, setTexts] = useState<Texts>(() => startOf(start));
  const [cache, setCache] = useState(true);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string>();
  const navigate = useNavigate();
  const client = useQueryClient();
  const { values, problems } = useMemo(() => parsed(spec.params, texts), [spec.params, texts]);
  const body = useMemo(
    () => ({
      params: values,
      ...(cache ? {} : { cache: false }),
      ...(resume === undefined ? {} : { resume }),
      ...(from === undefined ? {} : { from, ...(of === undefined ? {} : { of }) }),
    }),
    [values, cache, resume, from, of],
  );
  const wrong = Object.keys(problems).length > 0;
  return (
    <form
      className="mt-3 flex min-h-0 flex-col"
      onSubmit={(event) => {
        event.preventDefault();
        if (wrong) return;
        setBusy(true);
        setFailure(undefined);
        send<Run>("POST", `/pipelines/${encodeURIComponent(pipeline)}/runs`, body)
          .then(async (run) => {
            void client.invalidateQueries();
            await navigate({ to: "/runs/$id", params: { id: run.id }, search: {} });
          })
          .catch((error: unknown) => setFailure(reasonOf(error)))
          .finally(() => setBusy(false));
      }}
    >
      <div className="grid min-h-0 grid-cols-[19rem_minmax(0,1fr)] gap-5">
        <div className="min-h-0 space-y-2.5 overflow-y-auto p-1">
          {spec.params.length === 0 && <p className="text-muted">This pipeline takes no params.</p>}
          {spec.params.map((param) => (
            <Field
              key={param.name}
              param={param}
              text={texts[param.name] ?? ""}
              problem={problems[param.name]}
              set={(text) => setTexts((old) => ({ ...old, [param.name]: text }))}
            />
          ))}
          <label className="flex items-center gap-2 border-t border-line pt-2">
            <input type="checkbox" checked={!cache} onChange={(event) => setCache(!event.target.checked)} />
            Without cache: every step runs
          </label>
        </div>
        <Explained pipeline={pipeline} body={wrong ? undefined : body} />
      </div>
      <NotDone why={failure} className="pt-2" />
      <div className="flex justify-end gap-2 pt-3">
        <Dialog.Close className="button">Cancel</Dialog.Close>
        <button type="submit" disabled={busy || wrong} className="button button-main">
          {resume !== undefined ? "Resume" : "Start the run"}
        </button>
      </div>
    </form>
  );
}

function Field({ param, text, problem, set }: { param: ParamSpec; text: string; problem: string | undefined; set: (text: string) => void }) {
  const id = useId();
  const about = `${id}-about`;
  const shared = { id, "aria-describedby": about, "aria-invalid": problem !== undefined };
  const bounds = [...(param.min === undefined ? [] : [`at least ${param.min}`]), ...(param.max === undefined ? [] : [`at most ${param.max}`])];
  const items = text.split("\n").filter((line) => line.trim() !== "");
  const kind =
    param.type === "list"
      ? `${counted(items.length, "item")}, one a line, ${areNumbers(param, items) ? "numbers" : "texts"}`
      : [param.type === "int" ? "whole number" : param.type, ...bounds].join(", ");
  return (
    <div>
      {param.type === "boolean" ? (
        <label htmlFor={id} className="flex items-center gap-2 font-medium">
          <input {...shared} type="checkbox" checked={text === "true"} onChange={(event) => set(String(event.target.checked))} />
          {param.name}
        </label>
      ) : (
        <>
          <label htmlFor={id} className="block font-medium">
            {param.name}
          </label>
          {param.type === "enum" ? (
            <select {...shared} className="field w-full" value={text} onChange={(event) => set(event.target.value)}>
              {!(param.values ?? []).includes(text) && <option value={text}>{text}</option>}
              {(param.values ?? []).map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          ) : param.type === "list" ? (
            <textarea
              {...shared}
              rows={4}
              className="field !h-auto w-full py-1 font-mono text-[12px]"
              value={text}
              onChange={(event) => set(event.target.value)}
            />
          ) : param.type === "int" || param.type === "float" ? (
            <input
              {...shared}
              type="number"
              className="field w-full"
              min={param.min}
              max={param.max}
              step={param.type === "int" ? 1 : "any"}
              value={text}
              onChange={(event) => set(event.target.value)}
            />
          ) : (
            <input
              {...shared}
              className="field w-full"
              autoComplete="off"
              placeholder={param.type === "month" ? "2013-03 or latest" : undefined}
              value={text}
              onChange={(event) => set(event.target.value)}
            />
          )}
        </>
      )}
      <p id={about} className={`text-[12px] ${problem === undefined ? "text-muted" : "text-bad"}`}>
        {problem ??
          [param.description, kind, param.default === undefined || param.type === "list" ? undefined : `default ${value(param.default)}`]
            .filter((one) => one !== undefined)
            .join(" · ")}
      </p>
    </div>
  );
}

const tones: Record<Explanation["steps"][number]["does"], Tone> = { run: "info", reuse: "ok", skip: "none", ask: "warn", unknown: "none" };
const verbs: Record<Explanation["steps"][number]["does"], string> = { run: "runs", reuse: "reused", skip: "skipped", ask: "asks", unknown: "depends" };
/** What would run, and why: asked for again a moment after each change. */
function Explained({ pipeline, body }: { pipeline: string; body: object | undefined }) {
  const wanted = body === undefined ? undefined : JSON.stringify(body);
  const [settled, setSettled] = useState(wanted);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(wanted), 350);
    return () => clearTimeout(timer);
  }, [wanted]);
  const plan = useQuery({
    queryKey: ["explain", pipeline, settled],
    enabled: settled !== undefined,
    retry: false,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => ask<Explanation>(`/pipelines/${encodeURIComponent(pipeline)}/explain`, JSON.parse(settled ?? "{}"), signal),
  });
  const steps = plan.data?.steps ?? [];
  // A map does nothing itself: the steps of its items are counted one by one.
  const many = (does: string) => steps.filter((step) => step.does === does && step.kind !== "map").length;
  return (
    <section aria-label="What would run" className={`min-h-0 ${plan.isPlaceholderData || wanted !== settled ? "opacity-60" : ""}`}>
      <p className="pb-1 font-medium">
        {plan.data === undefined
          ? "What would run"
          : [
              `${counted(many("run"), "step")} would run`,
              ...(many("reuse") > 0 ? [`${many("reuse")} reused`] : []),
              ...(many("skip") > 0 ? [`${many("skip")} skipped`] : []),
              ...(many("unknown") > 0 ? [`${many("unknown")} known only when it comes to them`] : []),
            ].join(", ")}
      </p>
      {body === undefined ? (
        <Empty>Put the params right to see what would run.</Empty>
      ) : plan.isError ? (
        <NotDone why={plan.error.message} />
      ) : plan.data === undefined ? (
        <Loading />
      ) : (
        <div className="rounded-md border border-line">
          <Table
            label="Steps that would run"
            rows={steps}
            id={(step) => step.id}
            height={420}
            columns={[
              { head: "Step", cell: (step) => <span className="font-medium">{step.id}</span> },
              { head: "", cell: (step) => <Badge tone={tones[step.does]}>{verbs[step.does]}</Badge> },
              { head: "Why", wide: true, cell: (step) => <span className="whitespace-normal text-muted">{step.reason}</span> },
            ]}
          />
        </div>
      )}
    </section>
  );
}
