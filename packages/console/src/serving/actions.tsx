/** What people do with an endpoint's versions. Each says before what will happen, and is acknowledged when every process answers by it. */
import type { Endpoint, RolloutDetail } from "@millrace/sdk/api";
import { useQueryClient } from "@tanstack/react-query";
import { send } from "../api";
import { AskFor, type Field } from "../dialog";
import { value } from "../format";
import { percent } from "./plan";

const reason: Field = { name: "reason", label: "Reason, kept with it", placeholder: "optional" };
const why = ({ reason = "" }: Record<string, string>) => (reason.trim() === "" ? {} : { reason: reason.trim() });

/** Sends to a route below the endpoint's, and has all screens read again. */
function useAct(endpoint: string): (route: string, body: unknown, method?: "POST" | "PUT") => Promise<void> {
  const client = useQueryClient();
  return async (route, body, method = "POST") => {
    await send(method, `/endpoints/${encodeURIComponent(endpoint)}/${route}`, body);
    await client.invalidateQueries();
  };
}

export function RolloutActions({ of }: { of: RolloutDetail }) {
  const act = useAct(of.endpoint);
  const next = of.planSteps[of.step + 1];
  const versions = of.arms.length > 1 ? of.arms.map((arm) => arm.version) : [of.candidate];
  const stable = of.stable === null ? "Nothing" : `Version ${of.stable}`;
  const winner = of.result?.winner ?? null;
  return (
    <div className="flex flex-wrap gap-2" role="toolbar" aria-label="Rollout">
      {/* What is decided already goes on by itself no more. */}
      {of.kind !== "split" &&
        of.result === null &&
        (of.pausedAt === null ? (
          <AskFor
            button="Pause"
            title="Pause the rollout?"
            about={`The traffic stays as it is (${percent(of.weight)} is tried), and no step follows until somebody resumes. A version that fails its judges still goes back.`}
            fields={[reason]}
            done="Pause"
            run={(given) => act("rollouts/pause", why(given))}
          />
        ) : (
          <AskFor
            button="Resume"
            title="Resume the rollout?"
            about="It goes on by its plan: the next step follows when the time of this one is over and the judges are content."
            fields={[reason]}
            done="Resume"
            run={(given) => act("rollouts/resume", why(given))}
          />
        ))}
      {next !== undefined && (
        <AskFor
          button="Go on"
          title={`Go on to ${percent(next.weight)}?`}
          about={`Version ${of.candidate} gets ${percent(next.weight)} of the traffic now, in place of ${percent(of.weight)}, whatever the judges wait for.`}
          fields={[reason]}
          done={`Give it ${percent(next.weight)}`}
          run={(given) => act("rollouts/advance", why(given))}
        />
      )}
      {of.kind === "split" && (
        <AskFor
          button="Weights"
          title="Change the weights?"
          about={`In percent of the traffic; ${of.stable === null ? "the rest is nobody's" : `the rest is version ${of.stable}'s`}. Keys stay with their version where they can.`}
          fields={[
            ...of.arms.map(({ version, weight }) => ({ name: `v${version}`, label: `Version ${version}`, value: String(Number((weight * 100).toFixed(4))) })),
            reason,
          ]}
          done="Change"
          run={(given) =>
            act(
              "rollouts/weights",
              { arms: of.arms.map(({ version }) => ({ version, weight: weightOf(version, given[`v${version}`]) })), ...why(given) },
              "PUT",
            )
          }
        />
      )}
      <AskFor
        button="Promote"
        title={versions.length === 1 ? `Promote version ${of.candidate}?` : "Promote a version?"}
        about={`It answers all requests, is made the model's champion, and the rollout is over. ${stable} stays in memory, so that you can go back at once.`}
        fields={[
          ...(versions.length === 1
            ? []
            : [
                {
                  name: "version",
                  label: "Version",
                  value: String(winner ?? of.candidate),
                  of: versions.map((one) => [String(one), `version ${one}`] as const),
                },
              ]),
          reason,
        ]}
        done="Promote"
        run={(given) => act("promote", { version: Number(given.version ?? of.candidate), ...why(given) })}
      />
      <AskFor
        button="Roll back"
        danger
        title={versions.length === 1 ? `Take version ${of.candidate} out of the traffic?` : "End what is tried?"}
        about={`${stable} answers all requests again, as soon as every process knows; none is dropped. The rollout is over.`}
        fields={[reason]}
        done="Roll back"
        run={(given) => act("rollback", why(given))}
      />
    </div>
  );
}
function weightOf(version: number, text = ""): number {
  const weight = Number(text.replace("%", "").trim());
  if (!(weight > 0 && weight <= 100)) throw new Error(`The weight of version ${version} is "${text}": write a number above 0 and up to 100.`);
  return weight / 100;
}

/** To a version that answered before. */
export function GoBack({ of }: { of: Endpoint }) {
  const act = useAct(of.name);
  const running = of.rollout?.state === "running";
  const [last] = of.earlier;
  if (last === undefined) return null;
  return (
    <AskFor
      button={running ? "Earlier version" : "Roll back"}
      danger
      title="Go back to a version that answered before?"
      about={`It is in memory, and answers all requests as soon as every process knows; none is dropped. ${of.stable === null ? "" : `Version ${of.stable} can be taken back in the same way.`}${
        running ? " The rollout that runs is over." : ""
      }`}
      fields={[{ name: "version", label: "Version", value: String(last), of: of.earlier.map((one) => [String(one), `version ${one}`] as const) }, reason]}
      done="Go back"
      run={({ version, ...given }) =>
        !running && version === String(last) ? act("rollback", why(given)) : act("promote", { version: Number(version), ...why(given) })
      }
    />
  );
}

export function KillSwitch({ of }: { of: Endpoint }) {
  const act = useAct(of.name);
  if (of.killed !== null)
    return (
      <AskFor
        button="Revive"
        title={`Have ${of.name} answer again?`}
        about={`${of.stable === null ? "No version is deployed yet." : `Version ${of.stable} answers as before, and a rollout that ran goes on.`}`}
        fields={[reason]}
        done="Revive"
        run={(given) => act("revive", why(given))}
      />
    );
  return (
    <AskFor
      button="Kill switch"
      danger
      title={`Switch ${of.name} off?`}
      about={`No version answers any more, until somebody revives it. ${fallbackOf(of)}`}
      fields={[{ ...reason, placeholder: "what is wrong" }]}
      done="Switch off"
      run={(given) => act("kill", why(given))}
    />
  );
}
export const fallbackOf = ({ fallback }: Endpoint): string =>
  fallback === null
    ? "It declares no fallback: every request is refused, with 503."
    : `Every request is answered with its fallback: ${Object.entries(fallback)
        .map(([name, one]) => `${name} ${value(one)}`)
        .join(", ")}.`;
