import { number } from "../format";
import { runColor } from "../run-color";

const most = 30;

/** A metric that was said once: the largest values first. */
export function Bars({
  label,
  values,
  names,
  highlit,
  onHighlight,
}: {
  label: string;
  values: { run: string; value: number }[];
  names: ReadonlyMap<string, string>;
  highlit: string | undefined;
  onHighlight: (run: string | undefined) => void;
}) {
  const shown = [...values].sort((a, b) => b.value - a.value).slice(0, most);
  const [low, high] = [Math.min(0, ...shown.map((one) => one.value)), Math.max(0, ...shown.map((one) => one.value))];
  const place = (value: number) => (high > low ? ((value - low) / (high - low)) * 100 : 0);
  return (
    <ul aria-label={label} className="max-h-56 space-y-0.5 overflow-auto px-1 py-1 text-[12px]">
      {shown.map(({ run, value }) => (
        <li
          key={run}
          className={`grid grid-cols-[minmax(0,9rem)_1fr_5rem] items-center gap-2 rounded ${run === highlit ? "bg-sunken" : ""}`}
          onPointerEnter={() => onHighlight(run)}
          onPointerLeave={() => onHighlight(undefined)}
        >
          <span className="truncate" title={names.get(run)}>
            {names.get(run) ?? run}
          </span>
          <span className="relative h-3">
            <span
              className="absolute inset-y-0 min-w-px rounded-sm"
              style={{ left: `${Math.min(place(0), place(value))}%`, width: `${Math.abs(place(value) - place(0))}%`, background: runColor(run) }}
            />
          </span>
          <span className="text-right">{number(value, 5)}</span>
        </li>
      ))}
      {values.length > most && <li className="text-muted">and {values.length - most} more</li>}
    </ul>
  );
}
