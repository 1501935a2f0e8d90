/** Versions by the colour that they have on an endpoint's screen, and how the traffic is divided among them. */
import type { Endpoint } from "@millrace/sdk/api";
import { percent } from "./plan";

const colors = ["bg-accent", "bg-warn", "bg-info", "bg-ok", "bg-bad", "bg-muted"];
/** By version: the stable one's first. */
export const colorOf = (place: number): string => colors[place % colors.length] ?? "bg-muted";

export interface Part {
  version: number;
  weight: number;
}
/** The stable version with what is left, then those that are tried. */
export function partsOf({ stable, rollout }: Pick<Endpoint, "stable" | "rollout">): Part[] {
  const arms = rollout?.state === "running" ? rollout.arms : [];
  const rest = Math.max(0, 1 - arms.reduce((sum, arm) => sum + arm.weight, 0));
  return [...(stable === null ? [] : [{ version: stable, weight: Number(rest.toFixed(6)) }]), ...arms];
}

export function TrafficBar({ parts }: { parts: Part[] }) {
  const told = parts.map(({ version, weight }) => `version ${version} ${percent(weight)}`).join(", ");
  return (
    <div className="space-y-1.5">
      <div className="flex h-3 gap-px overflow-hidden rounded-full bg-sunken" role="img" aria-label={`Traffic: ${told === "" ? "nothing is deployed" : told}`}>
        {parts.map(({ version, weight }, place) =>
          weight === 0 ? null : <div key={version} className={colorOf(place)} style={{ width: `${weight * 100}%` }} />,
        )}
      </div>
      <ul className="flex flex-wrap gap-x-4 gap-y-0.5">
        {parts.map(({ version, weight }, place) => (
          <li key={version} className="flex items-center gap-1.5 whitespace-nowrap">
            <span aria-hidden className={`size-2 rounded-full ${colorOf(place)}`} />
            version {version} <b className="font-medium">{percent(weight)}</b>
          </li>
        ))}
      </ul>
    </div>
  );
}
