/** A person's answer that a run waits for, given where the question is seen. */
import type { Step } from "@millrace/sdk/api";
import { useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import { reasonOf, send } from "../api";
import { NotDone } from "../ui";

export function Approve({ run, step, question }: { run: string; step: Step; question: string }) {
  const client = useQueryClient();
  const id = useId();
  const [comment, setComment] = useState("");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string>();
  const answer = (approved: boolean) => {
    setBusy(true);
    setFailure(undefined);
    send("POST", `/runs/${encodeURIComponent(run)}/steps/${encodeURIComponent(step.id)}/approve`, {
      approved,
      ...(comment.trim() === "" ? {} : { comment: comment.trim() }),
    })
      .then(() => client.invalidateQueries())
      .catch((error: unknown) => setFailure(reasonOf(error)))
      .finally(() => setBusy(false));
  };
  return (
    <section aria-label={`${step.id} asks`} className="space-y-2 rounded-lg border border-warn/50 bg-warn/8 p-3">
      <p className="font-semibold">
        <span className="font-normal text-muted">{step.id} asks: </span>
        {question}
      </p>
      <div className="flex flex-wrap items-center gap-2">
        <label htmlFor={id} className="sr-only">
          Comment
        </label>
        <input
          id={id}
          className="field min-w-60 grow"
          placeholder="Comment, kept with the answer"
          value={comment}
          maxLength={10_000}
          onChange={(event) => setComment(event.target.value)}
        />
        <button type="button" disabled={busy} className="button border-ok bg-ok text-panel hover:bg-ok/85" onClick={() => answer(true)}>
          Approve
        </button>
        <button type="button" disabled={busy} className="button text-bad" onClick={() => answer(false)}>
          Reject
        </button>
      </div>
      <NotDone why={failure} />
    </section>
  );
}
