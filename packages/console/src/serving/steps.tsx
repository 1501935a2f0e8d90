import type { RolloutDetail, RolloutStep } from "@millrace/sdk/api";
import { useClock } from "../api";
import { relative } from "../format";
import { Time } from "../ui";
import { percent } from "./plan";

/** What a plan does in turn, what is done of it, and what the present step waits for. */
export function Steps({ of }: { of: RolloutDetail }) {
  const steps = of.planSteps;
  if (steps.length === 0) return null;
  const running = of.state === "running";
  return (
    <ol className="flex flex-wrap gap-1.5" aria-label="Steps">
      {steps.map((step, place) => {
        const done = of.state === "promoted" || place < of.step;
        const current = running && place === of.step;
        const failed = of.state === "rolled_back" && place === of.step;
        return (
          <li
            // biome-ignore lint/suspicious/noArrayIndexKey: steps have no identity but their place
            key={place}
            aria-current={current ? "step" : undefined}
            className={`min-w-24 rounded-md border px-2 py-1 ${
              current
                ? "grow border-accent ring-2 ring-accent/25"
                : done
                  ? "border-ok/40 bg-ok/8"
                  : failed
                    ? "border-bad/40 bg-bad/8"
                    : "border-line text-muted"
            }`}
          >
            <div className="flex items-baseline gap-1.5 whitespace-nowrap">
              <b className="font-semibold">{percent(of.kind === "shadow" ? step.copied : step.weight)}</b>
              <span className="text-[12px] text-muted">
                {of.kind === "shadow" ? "copied" : ""} {of.kind === "blue_green" ? "watched" : ""} for {step.each}
                {step.hold ? ", then asks" : ""}
              </span>
              {done && (
                <span role="img" aria-label="passed" className="ml-auto text-ok">
                  ✓
                </span>
              )}
              {failed && (
                <span role="img" aria-label="ended here" className="ml-auto text-bad">
                  ✕
                </span>
              )}
            </div>
            {current && <Current of={of} step={step} />}
          </li>
        );
      })}
    </ol>
  );
}

function Current({ of, step }: { of: RolloutDetail; step: RolloutStep }) {
  const { now } = useClock();
  const [began, due] = [Date.parse(of.stepStartedAt), of.dueAt === null ? null : Date.parse(of.dueAt)];
  const part = due === null || due <= began ? 1 : Math.min(1, Math.max(0, (now - began) / (due - began)));
  return (
    <>
      <div className="mt-1 h-1 overflow-hidden rounded-full bg-sunken">
        <div className={`h-full ${of.pausedAt === null ? "bg-accent" : "bg-warn"}`} style={{ width: `${part * 100}%` }} />
      </div>
      <p className="pt-0.5 text-[12px] text-muted">
        {of.pausedAt !== null ? (
          <>
            paused <Time at={of.pausedAt} />
          </>
        ) : part < 1 && due !== null ? (
          `over ${relative(due, now)} at the earliest`
        ) : of.result !== null || step.hold ? (
          "its time is over: a person says what follows"
        ) : (
          "its time is over: the judges want to see more"
        )}
      </p>
    </>
  );
}
