/** What people do with what is delivered. Each says before what will happen. */
import type { Environment, Promotion } from "@millrace/sdk/api";
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { send } from "../api";
import { AskFor, type Field } from "../dialog";
import { counted } from "../format";
import { type Delivered, hostOf, inWords } from "./subject";

const reason: Field = { name: "reason", label: "Reason, kept with it", placeholder: "optional" };
const comment: Field = { name: "comment", label: "Comment, kept with the decision", placeholder: "optional" };
const given = (name: string, values: Record<string, string>) => (values[name]?.trim() ? { [name]: values[name].trim() } : {});

/** Asks for what is in hand to come to one of these environments, and shows what becomes of that. */
export function Promote({ what, to, button = "Promote" }: { what: Delivered; to: readonly Environment[]; button?: string }) {
  const navigate = useNavigate();
  const client = useQueryClient();
  const [first, ...others] = to;
  if (first === undefined) return null;
  const several = new Set(to.map((one) => one.project)).size > 1;
  return (
    <AskFor
      button={button}
      title={`Promote ${inWords(what)}${others.length === 0 ? ` to ${first.name}` : ""}?`}
      about={
        others.length === 0
          ? whatFollows(first)
          : "Its gates are looked at, then what the environment waits for: approvals, the end of a freeze, a window. Nothing is built again."
      }
      fields={[
        ...(others.length === 0
          ? []
          : [
              {
                name: "to",
                label: "Environment",
                value: "0",
                of: to.map((one, at) => [String(at), several ? `${one.name} of ${one.project}` : one.name] as const),
              },
            ]),
        reason,
      ]}
      done="Promote"
      run={async (values) => {
        const chosen = to[Number(values.to ?? 0)] ?? first;
        const subject = what.release === null ? { model: what.model, version: what.version, project: chosen.project } : { release: what.release };
        const made = await send<Promotion>("POST", "/promotions", { environment: chosen.name, ...subject, ...given("reason", values) });
        await client.invalidateQueries();
        await navigate({ to: "/delivery/promotions/$id", params: { id: made.id } });
      }}
    />
  );
}
function whatFollows({ name, spec, closed, serves }: Environment): string {
  const { gates, approvals, server } = spec;
  const parts = [
    gates.length === 0 ? "It has no gates." : `${counted(gates.length, "gate")} must pass.`,
    approvals === undefined
      ? ""
      : `${counted(approvals.count, "person has", "people have")} to say yes${approvals.by === undefined ? "" : `, of ${approvals.by.join(", ")}`}, and none of them an author.`,
    closed === null ? "" : `It waits: ${closed}`,
    server !== undefined
      ? `Then ${hostOf(server.url)} takes it over, and nothing is built again.`
      : serves
        ? "Then this server takes it over, and nothing is built again."
        : `Then it is noted that ${name} holds it.`,
  ];
  return parts.filter((part) => part !== "").join(" ");
}

/** Back to what the environment held before. */
export function GoBack({ what, of }: { what: Delivered; of: Pick<Environment, "project" | "name"> }) {
  const navigate = useNavigate();
  const client = useQueryClient();
  return (
    <AskFor
      button="Roll back"
      danger
      title={`Take ${inWords(what)} out of ${of.name}?`}
      about={`What ${of.name} held before comes back. It passed the gates then, so neither gates, approvals, freezes nor windows hold it up.`}
      fields={[{ ...reason, placeholder: "needed" }]}
      done="Roll back"
      run={async (values) => {
        if (!values.reason?.trim()) throw new Error("Say why: it is kept with the decision.");
        const route = `/environments/${encodeURIComponent(of.project)}/${encodeURIComponent(of.name)}/rollback`;
        const made = await send<Promotion>("POST", route, { ...(what.kind === "model" ? { model: what.model } : {}), reason: values.reason.trim() });
        await client.invalidateQueries();
        await navigate({ to: "/delivery/promotions/$id", params: { id: made.id } });
      }}
    />
  );
}

/** Yes, no, or not any more. `wanted`: how many have to say yes. */
export function Answer({ of, wanted }: { of: Promotion; wanted: number }) {
  const client = useQueryClient();
  const act = (what: "approve" | "reject" | "cancel") => async (values: Record<string, string>) => {
    await send("POST", `/promotions/${of.id}/${what}`, given("comment", values));
    await client.invalidateQueries();
  };
  if (of.state !== "checking" && of.state !== "waiting") return null;
  const missing = wanted - of.approvedBy.length;
  const left = missing <= 1 ? "It is the last yes that is waited for." : `${missing - 1} more after yours.`;
  return (
    <div className="flex flex-wrap gap-2" role="toolbar" aria-label="Answer">
      {wanted > 0 && !of.rollback && missing > 0 && (
        <AskFor
          button="Approve"
          title={`Approve ${inWords(of)} for ${of.environment}?`}
          about={`${left} ${of.authors.length === 0 ? "" : `Its authors can't: ${of.authors.join(", ")}.`}`}
          fields={[comment]}
          done="Approve"
          run={act("approve")}
        />
      )}
      <AskFor
        button="Reject"
        danger
        title={`Reject ${inWords(of)} for ${of.environment}?`}
        about="The promotion is over, and refused. What the environment holds stays. It may be asked for again."
        fields={[comment]}
        done="Reject"
        run={act("reject")}
      />
      <AskFor
        button="Cancel"
        title="Cancel the promotion?"
        about={`Nobody waits for it any more. What ${of.environment} holds stays.`}
        fields={[comment]}
        done="Cancel it"
        run={act("cancel")}
      />
    </div>
  );
}
