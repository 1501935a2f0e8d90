import type { Replay } from "@millrace/sdk/api";
import { useState } from "react";
import { reasonOf, send } from "../api";
import { number } from "../format";
import { Badge, NotDone } from "../ui";
import { Values } from "./predictions";

/** The same version on what was logged, once more: whether the answer is the same. */
export function ReplayButton({ id }: { id: string }) {
  const [replay, setReplay] = useState<Replay>();
  const [failure, setFailure] = useState<string>();
  const [busy, setBusy] = useState(false);
  const again = () => {
    setBusy(true);
    setFailure(undefined);
    send<Replay>("POST", `/predictions/${encodeURIComponent(id)}/replay`)
      .then(setReplay)
      .catch((error: unknown) => setFailure(reasonOf(error)))
      .finally(() => setBusy(false));
  };
  return (
    <div className="space-y-2 pt-3">
      <div className="flex flex-wrap items-center gap-2">
        <button type="button" className="button" disabled={busy} onClick={again} title="Asks the same version the same once more; nothing is logged">
          Replay
        </button>
        {replay !== undefined && (
          <span role="status">
            <Badge tone={replay.same ? "ok" : "bad"}>{replay.same ? "the same again" : "not the same"}</Badge>
            {replay.same || replay.difference === null ? "" : ` differs by ${number(replay.difference)}`}
          </span>
        )}
      </div>
      <NotDone why={failure} />
      {replay !== undefined && !replay.same && <Values of={replay.replayed} />}
    </div>
  );
}
