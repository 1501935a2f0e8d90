import type { DatasetVersion } from "@millrace/sdk/api";
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { reasonOf, send } from "../api";
import { NotDone, Time } from "../ui";

/** What a person decided about a refused version, or the way to decide. */
export function Decision({ of }: { of: DatasetVersion }) {
  const { quarantine } = of;
  if (quarantine === undefined) return of.status === "quarantined" ? <Decide key={of.version} of={of} /> : null;
  const other = quarantine.version === of.version ? quarantine.acceptedAs : quarantine.version;
  const accepted = quarantine.decision === "accepted";
  return (
    <div role="status" className={`mt-3 rounded-md border px-3 py-2 ${accepted ? "border-ok/40 bg-ok/8" : "border-line bg-sunken"}`}>
      <b>{accepted ? (quarantine.version === of.version ? "Accepted" : "Accepted from quarantine") : "Rejected"}</b> by {quarantine.by},{" "}
      <Time at={quarantine.at} />
      {other !== null && (
        <>
          {quarantine.version === of.version ? ", as " : ", it was "}
          <Link className="link" to="." search={(old) => ({ ...old, version: String(other) })}>
            version {other}
          </Link>
        </>
      )}
      <p className="whitespace-pre-wrap break-words text-muted">{quarantine.reason}</p>
    </div>
  );
}

function Decide({ of }: { of: DatasetVersion }) {
  const client = useQueryClient();
  const [reason, setReason] = useState("");
  const [failure, setFailure] = useState<string>();
  const [busy, setBusy] = useState(false);
  const short = reason.trim().length < 3;
  const decide = async (act: "accept" | "reject") => {
    setBusy(true);
    setFailure(undefined);
    try {
      await send("POST", `/datasets/${of.dataset}/versions/${of.version}/${act}`, { reason });
      await client.invalidateQueries();
    } catch (error) {
      setFailure(reasonOf(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      aria-label="Decide about this version"
      className="mt-3 rounded-md border border-warn/40 bg-warn/8 p-2.5"
      onSubmit={(event) => {
        event.preventDefault();
        void decide("accept");
      }}
    >
      <p>Validation refused this version, and nothing reads it. Accepting it makes a new version of its rows.</p>
      <div className="flex items-start gap-2 pt-2">
        <label className="grow">
          <span className="sr-only">Reason</span>
          <textarea
            className="field w-full"
            rows={2}
            maxLength={2_000}
            placeholder="The reason, which is kept with the version"
            value={reason}
            onChange={(event) => setReason(event.target.value)}
          />
        </label>
        <button type="submit" className="button" disabled={short || busy}>
          Accept
        </button>
        <button type="button" className="button text-bad" disabled={short || busy} onClick={() => void decide("reject")}>
          Reject
        </button>
      </div>
      <NotDone why={failure} className="pt-1" />
    </form>
  );
}
