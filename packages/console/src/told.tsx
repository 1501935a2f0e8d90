import type { Event } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { count, share } from "./format";
import { Badge, type Column, State, Time, type Tone } from "./ui";

const text = (of: unknown): string => (of == null ? "" : String(of));
const num = (of: unknown): number | null => (typeof of === "number" ? of : null);

const to = {
  dataset: (name: string, version?: string) => (
    <Link className="link" to="/datasets/$name" params={{ name }} search={{ version }}>
      {name}
      {version === undefined ? "" : ` ${version}`}
    </Link>
  ),
  run: (id: string, name: string) => (
    <Link className="link" to="/runs/$id" params={{ id }}>
      {name}
    </Link>
  ),
  model: (name: string, version: string) => (
    <Link className="link" to="/models/$name" params={{ name }} search={{ version }}>
      {name} {version}
    </Link>
  ),
  endpoint: (name: string) => (
    <Link className="link" to="/endpoints/$name" params={{ name }}>
      {name}
    </Link>
  ),
  release: (digest: string) => (
    <Link className="link font-mono text-[12px]" to="/delivery/releases/$digest" params={{ digest }}>
      {digest.slice(7, 19)}
    </Link>
  ),
  promotion: (id: string, environment: string) => (
    <Link className="link" to="/delivery/promotions/$id" params={{ id }}>
      {environment}
    </Link>
  ),
  monitor: (name: string) => (
    <Link className="link" to="/monitors/$name" params={{ name }}>
      {name}
    </Link>
  ),
};

/** What an event says, in a sentence with links. */
export function sentence({ type, subject, data }: Event): ReactNode {
  switch (type) {
    case "project.applied":
      return `Project ${subject} version ${text(data.version)} applied`;
    case "dataset.version_accepted":
      return (
        <>
          Dataset {to.dataset(subject, text(data.version))} took {count(num(data.rows))} rows of {text(data.file)}
        </>
      );
    case "dataset.version_quarantined":
      return (
        <>
          Dataset {to.dataset(subject, text(data.version))} refused {text(data.file)}:{" "}
          {Array.isArray(data.anomalies) ? data.anomalies.length : text(data.anomalies)} anomalies
        </>
      );
    case "run.queued":
    case "run.started":
    case "run.finished":
      return (
        <>
          Run of {to.run(subject, text(data.pipeline))} {type === "run.finished" ? <State state={text(data.state)} /> : type.slice(4)}
          {data.modelVersion ? ` as ${text(data.modelVersion)}` : ""} {data.message ? <span className="text-muted">{text(data.message)}</span> : ""}
        </>
      );
    case "step.changed":
      return (
        <>
          Step {text(data.step)} of {to.run(text(data.run ?? subject), "a run")} <State state={text(data.state)} />
        </>
      );
    case "model_version.registered":
      return <>Model {to.model(text(data.model ?? subject), text(data.version))} registered</>;
    case "alias.set":
      return (
        <>
          Model {to.model(text(data.model ?? subject), text(data.version))} is now <b>{text(data.alias)}</b>
        </>
      );
    case "alias.deleted":
      return `Alias ${text(data.alias)} of model ${text(data.model ?? subject)} deleted`;
    case "monitor.checked":
      return (
        <>
          Monitor {to.monitor(text(data.monitor ?? subject))} checked {data.drifted ? <Badge tone="warn">drift</Badge> : ""}
        </>
      );
    case "monitor.alert":
      return (
        <>
          Monitor {to.monitor(text(data.monitor ?? subject))} alerts: {text(data.reason)}
        </>
      );
    case "trigger.fired":
      return (
        <>
          Trigger {text(data.trigger ?? subject)} <State state={text(data.outcome)} /> {data.runId ? <>{to.run(text(data.runId), "a run")} </> : ""}
          on {text(data.condition)}
        </>
      );
    case "release.created":
    case "release.checked":
    case "release.deployed":
      return (
        <>
          Release {to.release(text(data.release))} of {subject}{" "}
          {type !== "release.checked" ? (type === "release.created" ? "made known" : "deployed") : data.passed === true ? "was checked" : "failed its check"}{" "}
          <span className="text-muted">{text(data.summary ?? data.reason)}</span>
        </>
      );
    case "repository.changed":
    case "repository.released":
    case "repository.failed":
      return (
        <>
          Commit {text(data.commit).slice(0, 8)} of {subject} {type === "repository.changed" ? "was found" : type.slice(11)}
          {data.release ? <> as {to.release(text(data.release))}</> : ""} <span className="text-muted">{text(data.message)}</span>
        </>
      );
    case "endpoint.killed":
    case "endpoint.revived":
      return (
        <>
          Endpoint {to.endpoint(subject)} {type === "endpoint.killed" ? "was switched off" : "answers again"}{" "}
          <span className="text-muted">{text(data.reason)}</span>
        </>
      );
    default:
      if (type.startsWith("promotion."))
        return (
          <>
            Promotion of {data.release ? to.release(text(data.release)) : to.model(text(data.model), text(data.version))} to{" "}
            {to.promotion(text(data.promotion), text(data.environment))} {type.slice(10)} <span className="text-muted">{text(data.message)}</span>
          </>
        );
      if (type.startsWith("rollout."))
        return (
          <>
            Rollout of version {text(data.candidate)} on {to.endpoint(text(data.endpoint ?? subject))} {type.slice(8).replace("_", " ")}
            {num(data.weight) === null ? "" : ` at ${share(num(data.weight), 0)}`} {data.reason ? <span className="text-muted">{text(data.reason)}</span> : ""}
          </>
        );
      return `${type} ${subject}`;
  }
}

export const eventTone = ({ type, data }: Event): Tone => {
  if (
    type.endsWith("quarantined") ||
    type.endsWith("rolled_back") ||
    type === "monitor.alert" ||
    type === "endpoint.killed" ||
    type === "promotion.refused" ||
    type === "promotion.failed" ||
    type === "repository.failed" ||
    data.state === "failed"
  )
    return "bad";
  if (data.state === "refused" || data.drifted === true) return "warn";
  if (type.endsWith("promoted") || type.endsWith("registered") || data.state === "succeeded" || type.endsWith("accepted")) return "ok";
  return "none";
};
export const eventColumns: Column<Event>[] = [
  { head: "When", cell: (event) => <Time at={event.at} /> },
  { head: "What", cell: (event) => <Badge tone={eventTone(event)}>{event.type.split(".")[0]?.replace("_", " ")}</Badge> },
  { head: "", wide: true, cell: (event) => <span className="line-clamp-1">{sentence(event)}</span> },
];
