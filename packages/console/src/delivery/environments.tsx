import type { Environment, Held, Promotion, Release } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { type Listed, useApi, useClock } from "../api";
import { counted, day, relative } from "../format";
import { Badge, Empty, Panel, Read, Time } from "../ui";
import { Answer, GoBack, Promote } from "./actions";
import { hostOf, isSame, PromotionBadge, Subject } from "./subject";

/** The environments of each project side by side, in the order in which things come through them. */
export function Environments({ open }: { open: readonly Promotion[] }) {
  const environments = useApi<Listed<Environment>>("/environments", 5_000);
  const releases = useApi<Listed<Release>>("/releases?limit=500", 30_000);
  const commits = new Map(releases.data?.items.map((one) => [one.digest, one.commit]));
  return (
    <Read query={environments}>
      {({ items }) => {
        const projects = [...new Set(items.map((one) => one.project))];
        if (projects.length === 0) return <Empty>No project is known yet. `millrace apply` or `millrace release` makes one known.</Empty>;
        return (
          <div className="space-y-4 pt-3">
            {projects.map((project) => {
              const own = items.filter((one) => one.project === project);
              return (
                <section key={project} aria-label={project} className="space-y-2">
                  <h2 className="font-semibold [overflow-wrap:anywhere]">
                    {project}{" "}
                    {own[0]?.defined === false && (
                      <span className="font-normal text-muted">defines no environments of its own: these are what every project has</span>
                    )}
                  </h2>
                  <div className="grid grid-cols-[minmax(0,1fr)] gap-3 md:grid-cols-[repeat(auto-fit,minmax(17rem,1fr))]">
                    {own.map((one) => (
                      <Card
                        key={one.name}
                        of={one}
                        next={nextOf(one, own)}
                        open={open.filter((promotion) => promotion.project === project)}
                        commits={commits}
                      />
                    ))}
                  </div>
                </section>
              );
            })}
          </div>
        );
      }}
    </Read>
  );
}

/** Where what is here goes on to: the environments that want it to have been here, else the one that follows. */
function nextOf(of: Environment, all: readonly Environment[]): Environment[] {
  const after = all.filter((one) => one.spec.after.includes(of.name));
  if (after.length > 0) return after;
  const following = all[all.indexOf(of) + 1];
  return following === undefined || following.spec.after.length > 0 ? [] : [following];
}

function Card({ of, next, open, commits }: { of: Environment; next: Environment[]; open: Promotion[]; commits: ReadonlyMap<string, string> }) {
  const { spec } = of;
  const waiting = open.filter((one) => one.environment === of.name);
  return (
    <Panel
      title={<span className="[overflow-wrap:anywhere]">{of.name}</span>}
      actions={
        <>
          {of.closed !== null && <Badge tone="warn">closed</Badge>}
          {spec.server !== undefined ? (
            <Badge tone="none" title={spec.server.url}>
              <span className="max-w-32 truncate">{hostOf(spec.server.url)}</span>
            </Badge>
          ) : of.serves ? (
            <Badge tone="ok" title="What comes here is applied on this server, and answers">
              serves
            </Badge>
          ) : (
            <Badge title="What comes here has passed its gates; nothing is applied">record</Badge>
          )}
        </>
      }
    >
      <div className="space-y-3">
        {spec.description !== undefined && <p className="break-words text-muted">{spec.description}</p>}
        {of.closed !== null && <p className="break-words text-warn">{of.closed}</p>}
        {of.holds.length === 0 ? (
          <p className="text-muted">It holds nothing yet.</p>
        ) : (
          <ul className="max-h-[32rem] space-y-2 overflow-auto" aria-label={`${of.name} holds`}>
            {of.holds.map((held) => (
              <Holding key={`${held.kind} ${held.model}`} held={held} of={of} next={next} open={open} commit={commits.get(held.release ?? "")} />
            ))}
          </ul>
        )}
        {waiting.length > 0 && (
          <ul className="space-y-2" aria-label={`Waiting for ${of.name}`}>
            {waiting.map((one) => (
              <li key={one.id} className="space-y-1 rounded-md border border-warn/50 bg-warn/8 p-2">
                <div className="flex flex-wrap items-center gap-x-2">
                  <PromotionBadge of={one} />
                  <Subject of={one} />
                  <Link className="link ml-auto" to="/delivery/promotions/$id" params={{ id: one.id }}>
                    decisions
                  </Link>
                </div>
                <p className="break-words text-muted">
                  {one.message ?? "Its gates are looked at."} Asked for by {one.requestedBy} <Time at={one.requestedAt} />.
                </p>
                <Answer of={one} wanted={spec.approvals?.count ?? 0} />
              </li>
            ))}
          </ul>
        )}
        <Rules of={of} />
      </div>
    </Panel>
  );
}

function Holding({ held, of, next, open, commit }: { held: Held; of: Environment; next: Environment[]; open: Promotion[]; commit: string | undefined }) {
  // Neither where it is, nor where it is asked for already.
  const wanting = next.filter(
    (one) => !one.holds.some((theirs) => isSame(theirs, held)) && !open.some((promotion) => promotion.environment === one.name && isSame(promotion, held)),
  );
  return (
    <li className="space-y-1">
      <div className="flex flex-wrap items-center gap-x-2">
        <Badge>{held.kind}</Badge>
        <Subject of={held} />
        {commit !== undefined && (
          <span className="text-muted" title={commit}>
            of <code className="text-[12px]">{commit.slice(0, 8)}</code>
          </span>
        )}
        <span className="text-muted">
          came <Time at={held.since} />
        </span>
        <Link className="link" to="/delivery/promotions/$id" params={{ id: held.promotion }}>
          why
        </Link>
      </div>
      <div className="flex flex-wrap gap-2">
        {wanting.map((one) => (
          <Promote key={one.name} what={held} to={[one]} button={`→ ${one.name}`} />
        ))}
        <GoBack what={held} of={of} />
      </div>
    </li>
  );
}

/** What an environment asks of what comes. */
function Rules({ of: { spec } }: { of: Environment }) {
  const { now } = useClock();
  const rules = [
    ...(spec.after.length > 0 ? [`after ${spec.after.join(", ")}`] : []),
    ...(spec.gates.length > 0
      ? [`${counted(spec.gates.length, "gate")}: ${[...new Set(spec.gates.map((gate) => gate.kind.replaceAll("_", " ")))].join(", ")}`]
      : []),
    ...(spec.approvals === undefined
      ? []
      : [`${counted(spec.approvals.count, "approval")}${spec.approvals.by === undefined ? "" : ` by ${spec.approvals.by.join(", ")}`}`]),
    ...spec.windows.map(({ cron, zone, for: lasts }) => `open from ${cron} (${zone}) for ${lasts}`),
    ...spec.freezes
      .filter(({ to }) => Date.parse(to) > now)
      .map(({ from, to, reason }) => `frozen ${day(from)} to ${day(to)}${Date.parse(from) > now ? `, ${relative(Date.parse(from), now)}` : ""}: ${reason}`),
    ...(spec.on === undefined ? [] : [asks[spec.on]]),
    ...(spec.protected === true ? ["nothing is applied past it"] : []),
  ];
  if (rules.length === 0) return null;
  return (
    <ul className="space-y-0.5 border-t border-line pt-2 text-[12px] text-muted" aria-label="Rules">
      {rules.map((rule) => (
        <li key={rule} className="break-words">
          {rule}
        </li>
      ))}
    </ul>
  );
}
const asks = {
  push: "a push to the watched branch asks by itself",
  tag: "a tag asks by itself",
  deployed: "what has been everywhere before asks by itself",
} as const;
