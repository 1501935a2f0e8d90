import { Dialog } from "radix-ui";
import { type ReactNode, useId, useState } from "react";
import { reasonOf } from "./api";
import { NotDone } from "./ui";

export interface Field {
  name: string;
  label: string;
  value?: string;
  placeholder?: string;
  long?: boolean;
  /** One of these, as value and name. */
  of?: (readonly [string, string])[];
}
/** A button that asks for a few texts before it does its work. It stays open, with the reason, where that is refused. */
export function AskFor({
  button,
  title,
  about,
  fields,
  done,
  run,
  plain = false,
  danger = false,
}: {
  button: ReactNode;
  title: string;
  about?: ReactNode;
  fields: Field[];
  /** What the button that does it says. */
  done: string;
  run: (values: Record<string, string>) => Promise<unknown>;
  /** The button that opens it looks like a link. */
  plain?: boolean;
  /** What it does is felt by whoever uses the platform. */
  danger?: boolean;
}) {
  const form = useId();
  const [open, setOpen] = useState(false);
  const [failure, setFailure] = useState<string>();
  const [busy, setBusy] = useState(false);
  return (
    <Dialog.Root
      open={open}
      onOpenChange={(next) => {
        setOpen(next);
        setFailure(undefined);
      }}
    >
      <Dialog.Trigger className={`${plain ? "link" : "button"} ${danger ? "text-bad" : ""}`}>{button}</Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Overlay className="overlay" />
        <Dialog.Content
          {...(about === undefined ? { "aria-describedby": undefined } : {})}
          className="dialog top-1/4 max-h-[70vh] w-[28rem] max-w-[92vw] overflow-auto"
        >
          <Dialog.Title className="font-semibold">{title}</Dialog.Title>
          {about !== undefined && <Dialog.Description className="mt-1 break-words text-muted">{about}</Dialog.Description>}
          <form
            className="mt-3 space-y-2"
            onSubmit={(event) => {
              event.preventDefault();
              const given = new FormData(event.currentTarget);
              const values = Object.fromEntries(fields.map(({ name }) => [name, String(given.get(name) ?? "")]));
              setBusy(true);
              setFailure(undefined);
              // What it throws before it sends anything is a reason too.
              Promise.resolve(values)
                .then(run)
                .then(() => setOpen(false))
                .catch((error: unknown) => setFailure(reasonOf(error)))
                .finally(() => setBusy(false));
            }}
          >
            {fields.map(({ name, label, value, placeholder, long, of }) => (
              <label key={name} htmlFor={`${form}-${name}`} className="block">
                <span className="text-muted">{label}</span>
                {of !== undefined ? (
                  <select id={`${form}-${name}`} name={name} defaultValue={value} className="field w-full">
                    {of.map(([key, text]) => (
                      <option key={key} value={key}>
                        {text}
                      </option>
                    ))}
                  </select>
                ) : long ? (
                  <textarea
                    id={`${form}-${name}`}
                    name={name}
                    defaultValue={value}
                    placeholder={placeholder}
                    rows={6}
                    className="field !h-auto w-full py-1 font-mono text-[12px]"
                  />
                ) : (
                  <input id={`${form}-${name}`} name={name} defaultValue={value} placeholder={placeholder} className="field w-full" autoComplete="off" />
                )}
              </label>
            ))}
            <NotDone why={failure} />
            <div className="flex justify-end gap-2 pt-2">
              <Dialog.Close className="button">Cancel</Dialog.Close>
              <button type="submit" disabled={busy} className={`button ${danger ? "button-danger" : "button-main"}`}>
                {done}
              </button>
            </div>
          </form>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
