import type { PredictionExplanation } from "@millrace/sdk/api";
import { useApi } from "../api";
import { count, number, value, words } from "../format";
import { Badge, Panel, Read } from "../ui";
import { useUrl } from "../url";

const top = 20;
/** What each feature gave to a prediction. It is worked out when somebody asks for it: of some models that takes a while. */
export function ExplanationPanel({ id }: { id: string }) {
  const [{ explain }, change] = useUrl();
  const isOpen = explain === "yes";
  const explanation = useApi<PredictionExplanation>(isOpen ? `/predictions/${encodeURIComponent(id)}/explanation?top=${top}` : undefined, () => 3_600_000);
  return (
    <Panel
      title="What gave it"
      actions={
        <button type="button" className="button" aria-expanded={isOpen} onClick={() => change({ explain: isOpen ? undefined : "yes" })}>
          {isOpen ? "Hide" : "Explain"}
        </button>
      }
    >
      {isOpen ? (
        <Read query={explanation}>{(data) => <Attributions of={data} />}</Read>
      ) : (
        <p className="text-muted">How much each feature added or took away.</p>
      )}
    </Panel>
  );
}

const scales = {
  output: "",
  log_odds: "in log odds, of which the answer is the logistic function",
  score: "in scores, of which the answer is the softmax",
} as const;

function Attributions({ of }: { of: PredictionExplanation }) {
  const most = Math.max(...of.attributions.map((one) => Math.abs(one.attribution)), Math.abs(of.rest), 1e-12);
  return (
    <div className="space-y-2">
      <p>
        <Badge tone={of.method === "exact" ? "ok" : "info"}>{of.method}</Badge> The mean of {count(of.background.rows)} rows of{" "}
        {of.background.from === "training" ? "its training" : "what the endpoint was asked"} is <b className="font-medium">{number(of.base)}</b>; what follows
        adds up to <b className="font-medium">{number(of.value)}</b> of {of.output.name}
        {of.output.index === null ? "" : `[${of.output.index}]`}
        {scales[of.scale] === "" ? "" : `, ${scales[of.scale]}`}.
      </p>
      <ul className="space-y-0.5" aria-label="Attributions">
        {of.attributions.map((one) => (
          <Row
            key={one.feature}
            name={one.feature}
            note={one.value === null ? "null" : value(one.value)}
            given={one.attribution}
            error={one.standardError}
            most={most}
          />
        ))}
        {of.rest !== 0 && <Row name="all others" note="" given={of.rest} error={null} most={most} />}
      </ul>
      <p className="text-[12px] text-muted">
        {of.method === "exact" ? "Shapley values of its trees" : "estimates of Shapley values, with their standard errors"}, of {words(of.model)} {of.version}
      </p>
    </div>
  );
}

function Row({ name, note, given, error, most }: { name: string; note: string; given: number; error: number | null; most: number }) {
  const width = `${(Math.abs(given) / most) * 50}%`;
  return (
    <li className="grid grid-cols-[minmax(0,3fr)_minmax(0,4fr)_max-content] items-center gap-x-3">
      <span className="truncate" title={`${name} ${note}`}>
        {name} <span className="font-mono text-[12px] text-muted">{note}</span>
      </span>
      <span aria-hidden className="relative h-3.5">
        <span className="absolute inset-y-0 left-1/2 w-px bg-muted/50" />
        <span className={`absolute inset-y-0.5 rounded-sm ${given < 0 ? "right-1/2 bg-info" : "left-1/2 bg-warn"}`} style={{ width }} />
      </span>
      <span className="w-32 whitespace-nowrap text-right">
        {given < 0 ? "−" : "+"}
        {number(Math.abs(given))}
        {error !== null && <span className="text-[12px] text-muted"> ± {number(error)}</span>}
      </span>
    </li>
  );
}
