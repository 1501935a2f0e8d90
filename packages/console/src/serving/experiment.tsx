import type { Rollout, RolloutDetail } from "@millrace/sdk/api";
import { count, number } from "../format";
import { Badge, type Tone } from "../ui";

type Result = NonNullable<Rollout["result"]>;
type Arm = Result["arms"][number];

/** What an experiment or a shadow found: why, and each arm against the control with its interval. */
export function Result({ of, result }: { of: RolloutDetail; result: Result }) {
  const decided: [Tone, string] = !result.valid
    ? ["bad", "not comparable"]
    : result.winner === null
      ? ["none", "no version is better"]
      : ["ok", `version ${result.winner} ${of.kind === "experiment" ? "is better" : "passed"}`];
  return (
    <section aria-label="Result" className="space-y-2 rounded-md border border-line bg-sunken/40 p-2.5">
      <p className="break-words">
        <Badge tone={decided[0]}>{decided[1]}</Badge> {result.why}
      </p>
      {result.arms.length > 0 && <Arms of={result} />}
    </section>
  );
}

function Arms({ of: { arms, winner, needed } }: { of: Result }) {
  const bounds = arms.flatMap(({ lower, upper }) => (lower === null || upper === null ? [] : [lower, upper]));
  const reach = Math.max(...bounds.map(Math.abs), 1e-9) * 1.08;
  return (
    <section className="overflow-x-auto" aria-label="Arms">
      <table className="w-full min-w-[34rem]">
        <thead>
          <tr className="text-left text-[12px] text-muted">
            <th scope="col" className="py-0.5 pr-3 font-medium">
              Arm
            </th>
            <th scope="col" className="pr-3 text-right font-medium" title={needed > 0 ? `${count(needed)} were to come` : undefined}>
              Labelled keys
            </th>
            <th scope="col" className="pr-3 text-right font-medium">
              Mean
            </th>
            <th scope="col" className="w-[40%] pr-3 font-medium">
              Difference from the control
            </th>
            <th scope="col" className="text-right font-medium">
              p
            </th>
          </tr>
        </thead>
        <tbody>
          {arms.map((arm) => (
            <tr key={arm.version} className="border-t border-line/60">
              <td className="whitespace-nowrap py-1 pr-3">
                version {arm.version} {arm.difference === null && <Badge>control</Badge>} {arm.version === winner && <Badge tone="ok">winner</Badge>}
              </td>
              <td className="pr-3 text-right">{count(arm.units)}</td>
              <td className="pr-3 text-right">{number(arm.mean)}</td>
              <td className="pr-3">{arm.difference === null ? <span className="text-muted">–</span> : <Interval of={arm} reach={reach} />}</td>
              <td className="text-right">{arm.p === null ? <span className="text-muted">–</span> : number(arm.p)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

const signed = (value: number | null): string => (value === null ? "–" : `${value < 0 ? "−" : "+"}${number(Math.abs(value))}`);
/** A difference within its interval, on a line on which nothing is in the middle. */
function Interval({ of: { difference, lower, upper }, reach }: { of: Arm; reach: number }) {
  const at = (value: number) => `${((value + reach) / (2 * reach)) * 100}%`;
  const known = lower !== null && upper !== null && (lower > 0 || upper < 0);
  const color = known ? "bg-accent" : "bg-muted";
  return (
    <div className="flex items-center gap-3">
      <div
        className="relative h-4 min-w-28 grow"
        role="img"
        aria-label={`${signed(difference)}, from ${signed(lower)} to ${signed(upper)}${known ? "" : ": it may be none"}`}
      >
        <div className="absolute inset-y-0 left-1/2 w-px bg-muted/60" />
        {lower !== null && upper !== null && (
          <div className={`absolute top-[7px] h-0.5 rounded ${color}`} style={{ left: at(lower), width: `${((upper - lower) / (2 * reach)) * 100}%` }} />
        )}
        <div className={`absolute top-1 size-2 -translate-x-1/2 rounded-full ${color}`} style={{ left: at(difference ?? 0) }} />
      </div>
      <span className="whitespace-nowrap text-[12px]">
        {signed(difference)}{" "}
        <span className="text-muted">
          ({signed(lower)} to {signed(upper)})
        </span>
      </span>
    </div>
  );
}
