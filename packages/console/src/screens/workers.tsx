import type { RunningStep, Worker } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { type Listed, useApi } from "../api";
import { bytes, duration, number } from "../format";
import { Figure, Page, Panel, Read, State, Table, Time } from "../ui";

const everyMs = 2_000;

/** The processes that run steps, and what they do now. */
export function Workers() {
  const workers = useApi<Listed<Worker>>("/workers", everyMs);
  const running = useApi<Listed<RunningStep>>("/workers/steps", everyMs);
  return (
    <Page title="Workers" about="Processes that run steps: this server, and those of millrace worker">
      <Read query={workers}>
        {({ items }) => {
          const alive = items.filter((one) => one.alive);
          const sum = (of: (worker: Worker) => number) => alive.reduce((total, one) => total + of(one), 0);
          return (
            <>
              <div className="grid grid-cols-5 gap-3">
                <Figure name="Alive" value={alive.length} note={`of ${items.length} known`} tone={alive.length === 0 ? "bad" : "none"} />
                <Figure name="Running" value={sum((one) => one.running)} note="steps" />
                <Figure name="Processors" value={number(sum((one) => one.cpus))} note="of those alive" />
                <Figure name="Memory" value={bytes(sum((one) => one.memoryBytes))} note="of those alive" />
                <Figure name="GPUs" value={number(sum((one) => one.gpus))} note="of those alive" />
              </div>
              <Panel flush>
                <Table
                  label="Workers"
                  rows={items}
                  id={(one) => one.id}
                  height={300}
                  empty="No worker is known. Start one: millrace up, or millrace worker"
                  columns={[
                    { head: "State", cell: (one) => <State state={one.alive ? "alive" : "gone"} /> },
                    { head: "Host", cell: (one) => <span className="font-medium">{one.host}</span> },
                    { head: "Process", right: true, cell: (one) => one.pid },
                    { head: "Backends", cell: (one) => one.backends.join(", ") },
                    { head: "Running", right: true, cell: (one) => one.running },
                    { head: "Processors", right: true, cell: (one) => number(one.cpus) },
                    { head: "Memory", right: true, cell: (one) => bytes(one.memoryBytes) },
                    { head: "GPUs", right: true, cell: (one) => number(one.gpus) },
                    { head: "Begun", cell: (one) => <Time at={one.startedAt} /> },
                    { head: "Seen", cell: (one) => <Time at={one.seenAt} /> },
                    {
                      head: "Id",
                      wide: true,
                      cell: (one) => (
                        <code className="text-[12px] text-muted" title={one.id}>
                          {one.id.slice(0, 8)}
                        </code>
                      ),
                    },
                  ]}
                />
              </Panel>
              <Panel title="What they run" flush>
                <Read query={running}>
                  {({ items: steps }) => (
                    <Table
                      label="Steps that run"
                      rows={steps}
                      id={(one) => `${one.run} ${one.step}`}
                      height={460}
                      empty="Nothing runs now."
                      columns={[
                        {
                          head: "Step",
                          cell: (one) => (
                            <Link
                              className="link font-medium"
                              to="/runs/$id"
                              params={{ id: one.run }}
                              search={one.step.includes("[") ? { step: one.step.split("[")[0], item: one.step } : { step: one.step }}
                            >
                              {one.step}
                            </Link>
                          ),
                        },
                        { head: "Pipeline", cell: (one) => one.pipeline },
                        {
                          head: "Worker",
                          cell: (one) => `${items.find((worker) => worker.id === one.worker)?.host ?? ""} ${one.worker.slice(0, 8)}`,
                        },
                        { head: "Backend", cell: (one) => one.backend ?? "–" },
                        { head: "For", right: true, cell: (one) => duration(one.forMs) },
                        { head: "Memory", right: true, cell: (one) => bytes(one.usage?.memoryBytes) },
                        { head: "Processor", right: true, cell: (one) => (one.usage?.cpuSeconds == null ? "–" : `${number(one.usage.cpuSeconds, 1)} s`) },
                        {
                          head: "Progress",
                          wide: true,
                          cell: ({ progress }) =>
                            progress === null
                              ? ""
                              : [
                                  progress.done === undefined
                                    ? ""
                                    : `${number(progress.done)}${progress.total === undefined ? "" : ` of ${number(progress.total)}`}`,
                                  progress.message ?? "",
                                ].join(" "),
                        },
                      ]}
                    />
                  )}
                </Read>
              </Panel>
            </>
          );
        }}
      </Read>
    </Page>
  );
}
