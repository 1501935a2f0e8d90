/** What is delivered, and how far it is, in the words of every screen. */
import type { Decision, Held, Promotion, PromotionState } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { words } from "../format";
import { Badge, type Tone } from "../ui";

export type Delivered = Pick<Held | Promotion, "kind" | "release" | "model" | "version">;
/** As much of a digest as people compare. */
export const short = (digest: string): string => digest.slice(7, 19);
export const inWords = ({ release, model, version }: Delivered): string => (release === null ? `${model} ${version}` : `the release ${short(release)}`);
export const isSame = (a: Delivered, b: Delivered): boolean => a.release === b.release && a.model === b.model && a.version === b.version;
export const objectAt = (digest: string): string => `/api/v1/objects/${encodeURIComponent(digest)}`;

export const hostOf = (url: string): string => (URL.canParse(url) ? new URL(url).host : url);

export function Subject({ of: { release, model, version } }: { of: Delivered }) {
  if (release !== null)
    return (
      <Link className="link font-mono text-[12px]" to="/delivery/releases/$digest" params={{ digest: release }} title={release}>
        {short(release)}
      </Link>
    );
  return (
    <Link className="link font-medium [overflow-wrap:anywhere]" to="/models/$name" params={{ name: model ?? "" }} search={{ version: String(version) }}>
      {model} {version}
    </Link>
  );
}

const states: Record<PromotionState, Tone> = {
  ...{ checking: "info", waiting: "warn", deploying: "info", deployed: "ok" },
  ...{ refused: "bad", failed: "bad", superseded: "none", cancelled: "none" },
};
export const PromotionBadge = ({ of }: { of: Pick<Promotion, "state" | "rollback"> }) => (
  <>
    {of.rollback && <Badge tone="warn">back</Badge>} <Badge tone={states[of.state]}>{of.state}</Badge>
  </>
);
export const isOpen = ({ state }: Pick<Promotion, "state">): boolean => state === "checking" || state === "waiting" || state === "deploying";

const decisions: Record<Decision["kind"], Tone> = {
  ...{ requested: "none", gate: "none", approved: "ok", rejected: "bad", released: "info", deployed: "ok", refused: "bad", failed: "bad" },
  ...{ superseded: "none", cancelled: "none" },
};
/** Gates say how they went. */
export function DecisionBadge({ of: { kind, passed } }: { of: Decision }) {
  if (kind !== "gate") return <Badge tone={decisions[kind]}>{words(kind)}</Badge>;
  return <Badge tone={passed === true ? "ok" : "bad"}>{passed === true ? "gate passed" : "gate failed"}</Badge>;
}
