import type { RunColumns } from "@millrace/sdk/api";
import { Popover } from "radix-ui";
import { useMemo, useState } from "react";
import { count } from "../format";
import { column, type Group, headOf, ownNames, pinnedFirst, type RunColumn } from "./columns";

/** Which columns there can be, by group, and which are shown. */
export function ColumnChooser({
  known,
  columns,
  onColumns,
}: {
  known: RunColumns | undefined;
  columns: RunColumn[];
  onColumns(columns: RunColumn[] | undefined): void;
}) {
  const [search, setSearch] = useState("");
  const shown = useMemo(() => new Set(columns.map((one) => one.id)), [columns]);
  const groups = useMemo(() => groupsOf(known, columns), [known, columns]);
  const wanted = search.trim().toLowerCase();
  const typed = column(search.trim());
  const missing = typed !== undefined && typed.group !== "attributes" && !groups.some(([, ids]) => ids.some(({ id }) => id === typed.id));

  const add = (ids: string[]) => onColumns(pinnedFirst([...columns, ...ids.filter((id) => !shown.has(id)).flatMap((id) => column(id) ?? [])]));
  const remove = (ids: string[]) => onColumns(columns.filter((one) => !ids.includes(one.id)));
  return (
    <Popover.Root>
      <Popover.Trigger className="button">Columns</Popover.Trigger>
      <Popover.Portal>
        <Popover.Content
          align="end"
          sideOffset={4}
          className="z-40 flex max-h-[70vh] w-80 flex-col rounded-lg border border-line bg-panel shadow-xl"
          aria-label="Columns"
        >
          <div className="border-b border-line p-2">
            <input
              className="field w-full"
              aria-label="Search columns"
              placeholder="Search, or name one: metrics.val_loss"
              value={search}
              onChange={(event) => setSearch(event.target.value)}
            />
          </div>
          <div className="min-h-0 grow overflow-auto p-2">
            {groups.map(([group, all]) => {
              const fits = all.filter(({ id, head }) => id.toLowerCase().includes(wanted) || head.toLowerCase().includes(wanted));
              if (fits.length === 0) return null;
              const ids = fits.slice(0, 300).map(({ id }) => id);
              const every = ids.every((id) => shown.has(id));
              return (
                <fieldset key={group} className="mb-2">
                  <legend className="flex w-full items-center pb-0.5 text-[12px] font-semibold text-muted">
                    {group} <span className="pl-1 font-normal">({count(fits.length)})</span>
                    <button type="button" className="link ml-auto font-normal" onClick={() => (every ? remove(ids) : add(ids.slice(0, 50)))}>
                      {every ? "none" : ids.length > 50 ? "first 50" : "all"}
                    </button>
                  </legend>
                  {fits.slice(0, 300).map(({ id, head, runs }) => (
                    <label key={id} className="flex items-center gap-2 rounded px-1 py-px hover:bg-sunken">
                      <input type="checkbox" checked={shown.has(id)} onChange={(event) => (event.target.checked ? add([id]) : remove([id]))} />
                      <span className="min-w-0 truncate" title={id}>
                        {head}
                      </span>
                      {runs !== undefined && <span className="ml-auto text-[12px] text-muted">{runs}</span>}
                    </label>
                  ))}
                  {fits.length > 300 && <p className="px-1 text-[12px] text-muted">{count(fits.length - 300)} more: search for them.</p>}
                </fieldset>
              );
            })}
            {missing && (
              <button type="button" className="link" onClick={() => add([typed.id])}>
                Show {typed.id}
              </button>
            )}
          </div>
          <div className="flex items-center border-t border-line p-2 text-[12px] text-muted">
            {known?.complete === false ? `Keys of ${count(known.runs)} runs; the others are being looked at.` : ""}
            <button type="button" className="link ml-auto" onClick={() => onColumns(undefined)}>
              Usual columns
            </button>
          </div>
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

interface Choice {
  id: string;
  head: string;
  runs?: string;
}
function groupsOf(known: RunColumns | undefined, columns: RunColumn[]): [Group, Choice[]][] {
  const keyed = (group: Exclude<Group, "attributes">): [Group, Choice[]] => {
    const found = new Map(Object.entries(known?.[group] ?? {}));
    for (const one of columns) if (one.group === group && !found.has(one.name)) found.set(one.name, 0);
    const many = (runs: number) => (group === "metrics" && runs > 10_000 ? "10,000+" : count(runs));
    return [
      group,
      [...found]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, runs]) => ({ id: `${group}.${name}`, head: name, ...(runs > 0 ? { runs: many(runs) } : {}) })),
    ];
  };
  return [
    ["attributes", ownNames.map((name) => ({ id: `attributes.${name}`, head: headOf({ group: "attributes", name }) }))],
    keyed("metrics"),
    keyed("params"),
    keyed("tags"),
  ];
}
