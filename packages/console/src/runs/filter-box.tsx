/** The box for a filter: it helps while one types, says in words where the filter is wrong, and knows the last ones. */
import type { RunColumns, RunCount, RunValues } from "@millrace/sdk/api";
import { useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from "react";
import { flushSync } from "react-dom";
import { ask, Refused, useApi } from "../api";
import { count, number } from "../format";
import { quotedKey } from "./columns";
import { type Caret, caretOf, columnOf, quotedText, tokens } from "./filter-language";
import type { RunSearch } from "./rows";

interface Suggestion {
  label: string;
  detail?: string;
  insert: string;
  /** In place of everything, and used at once. */
  whole?: boolean;
}

const recentKey = "filters";
const mostRecent = 12;
/** That the server answers at once. */
const mostValues = 50;
const attributes = ["run_name", "status", "start_time", "end_time", "duration", "user_id", "run_id", "experiment_id"];
const numeric = new Set(["start_time", "end_time", "duration"]);

export function FilterBox({
  search,
  known,
  failure,
  onFilter,
}: {
  search: RunSearch;
  known: RunColumns | undefined;
  failure: Refused | undefined;
  onFilter(filter: string): void;
}) {
  const { filter } = search;
  const [text, setText] = useState(filter);
  const [caret, setCaret] = useState(filter.length);
  const [open, setOpen] = useState(false);
  const [chosen, setChosen] = useState<number>();
  const [left, setLeft] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  const list = useId();
  // What the address says otherwise, as after going back.
  useEffect(() => setText(filter), [filter]);

  const at = caretOf(text, caret);
  const draft = useDraft(text, search);
  const wrong = text === filter ? failure : draft.error;
  const place = placeOf(wrong);
  // What is still being typed is not wrong yet.
  const unfinished = place !== undefined && text !== filter && (place >= text.trimEnd().length - 1 || (at.typed !== "" && place === at.from));
  const suggestions = useSuggestions(text, at, search.experiments, known, open);
  const shown = open && suggestions.length > 0;

  function change(next: string, caretAt: number): void {
    // At once: who types fast has the next letter there already.
    flushSync(() => {
      setText(next);
      setCaret(caretAt);
      setChosen(undefined);
    });
    input.current?.setSelectionRange(caretAt, caretAt);
  }
  function use(next: string): void {
    setOpen(false);
    setText(next);
    remember(next);
    onFilter(next.trim());
  }
  function take(one: Suggestion): void {
    if (one.whole) {
      use(one.insert);
      return;
    }
    const rest = text.slice(caret);
    const insert = rest.startsWith(" ") ? one.insert.trimEnd() : one.insert;
    change(text.slice(0, at.from) + insert + rest, at.from + insert.length);
    setOpen(true);
  }
  function keys(event: KeyboardEvent<HTMLInputElement>): void {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step !== 0) {
      event.preventDefault();
      setOpen(true);
      if (suggestions.length > 0) setChosen((chosen === undefined ? (step === 1 ? 0 : -1) : chosen + step + suggestions.length) % suggestions.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const one = shown && chosen !== undefined ? suggestions.at(chosen) : undefined;
      if (one === undefined) use(text);
      else take(one);
    } else if (event.key === "Tab" && shown && !event.shiftKey) {
      const one = suggestions.at(chosen ?? 0);
      if (one === undefined || (chosen === undefined && at.typed === "")) setOpen(false);
      else {
        event.preventDefault();
        take(one);
      }
    } else if (event.key === "Escape") {
      if (shown) setOpen(false);
      else change(filter, filter.length);
    }
  }

  const marked = place === undefined || unfinished ? undefined : tokens(text).find((one) => one.at === place);
  return (
    <div className="relative min-w-64 grow">
      <div className="relative">
        <input
          ref={input}
          role="combobox"
          aria-label="Filter"
          aria-expanded={shown}
          aria-controls={list}
          aria-autocomplete="list"
          aria-activedescendant={shown && chosen !== undefined ? `${list}-${(chosen + suggestions.length) % suggestions.length}` : undefined}
          aria-invalid={wrong !== undefined && !unfinished}
          aria-describedby={`${list}-note`}
          autoComplete="off"
          spellCheck={false}
          placeholder="metrics.auc > 0.8 and params.model = 'xgboost'"
          className={`field w-full !px-2 font-mono text-[12px] ${wrong !== undefined && !unfinished ? "!border-bad" : ""}`}
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            setCaret(event.target.selectionStart ?? event.target.value.length);
            setChosen(undefined);
            setOpen(true);
          }}
          onSelect={(event) => setCaret(event.currentTarget.selectionStart ?? 0)}
          onScroll={(event) => setLeft(event.currentTarget.scrollLeft)}
          onFocus={() => setOpen(true)}
          onBlur={() => {
            setOpen(false);
            setChosen(undefined);
          }}
          onKeyDown={keys}
        />
        {marked !== undefined && (
          <div
            aria-hidden
            className="pointer-events-none absolute inset-x-[9px] top-[5px] overflow-hidden whitespace-pre font-mono text-[12px] text-transparent"
          >
            <span className="inline-block" style={{ transform: `translateX(${-left}px)` }}>
              {text.slice(0, marked.at)}
              <span className="underline decoration-bad decoration-wavy underline-offset-4">{marked.text}</span>
            </span>
          </div>
        )}
        {text !== "" && (
          <button
            type="button"
            aria-label="Clear the filter"
            className="absolute right-1 top-1 rounded bg-panel px-1.5 leading-5 text-muted hover:text-ink"
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => use("")}
          >
            ×
          </button>
        )}
      </div>
      {shown && (
        <ul
          id={list}
          role="listbox"
          aria-label="What may come here"
          className="absolute left-0 top-8 z-40 max-h-80 w-[min(34rem,100%)] overflow-auto rounded-md border border-line bg-panel py-1 shadow-lg"
        >
          {suggestions.map((one, i) => {
            const on = chosen !== undefined && (chosen + suggestions.length) % suggestions.length === i;
            return (
              <li
                key={`${one.label} ${one.insert}`}
                id={`${list}-${i}`}
                role="option"
                aria-selected={on}
                ref={on ? (element) => element?.scrollIntoView({ block: "nearest" }) : undefined}
                onMouseDown={(event) => event.preventDefault()}
                onClick={() => take(one)}
                className={`flex cursor-pointer items-baseline gap-3 px-2.5 py-0.5 ${on ? "bg-sunken" : "hover:bg-sunken"}`}
              >
                <span className="min-w-0 truncate font-mono text-[12px]">{one.label}</span>
                <span className="ml-auto shrink-0 text-[12px] text-muted">{one.detail}</span>
              </li>
            );
          })}
        </ul>
      )}
      <p
        id={`${list}-note`}
        role={wrong !== undefined && !unfinished ? "alert" : "status"}
        className={`min-h-5 truncate pt-0.5 text-[12px] ${wrong !== undefined && !unfinished ? "text-bad" : "text-muted"}`}
      >
        {wrong !== undefined && !unfinished
          ? `${place === undefined ? "" : `At character ${place + 1}: `}${wrong.message}`
          : text.trim() === filter
            ? ""
            : unfinished
              ? expectations[at.expected]
              : draft.count === undefined
                ? "Enter uses the filter."
                : `${count(draft.count.count)}${draft.count.exact ? "" : "+"} ${draft.count.count === 1 ? "run fits" : "runs fit"}. Enter shows them.`}
      </p>
    </div>
  );
}
const expectations: Record<Caret["expected"], string> = {
  name: "A name comes here: metrics.<key>, params.<key>, tags.<key>, an attribute.",
  operator: "A comparison comes here: =, !=, <, >, LIKE, IN, IS NULL.",
  value: "A value comes here: a number, or a text in quotes.",
  list: "A list in parentheses comes here: ('a', 'b').",
  values: "Texts in quotes come here, with commas between them.",
  connector: "AND or OR may come here. Enter uses the filter.",
};
function placeOf(error: Refused | undefined): number | undefined {
  const { details } = error ?? {};
  return typeof details === "object" && details !== null && "at" in details && typeof details.at === "number" ? details.at : undefined;
}

/** What the server says to a filter that is not used yet, once typing pauses. */
function useDraft(text: string, { experiments, filter, view }: RunSearch): { count: RunCount | undefined; error: Refused | undefined } {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), 350);
    return () => clearTimeout(timer);
  }, [text]);
  const asks = settled.trim() !== "" && settled.trim() !== filter;
  const query = useQuery<RunCount>({
    queryKey: ["/tracking/runs/draft", experiments, view, settled],
    enabled: asks,
    retry: false,
    staleTime: 30_000,
    queryFn: ({ signal }) => ask("/tracking/runs/count", { experiments, view, filter: settled, atMost: 10_000 }, signal),
  });
  if (!asks || settled !== text) return { count: undefined, error: undefined };
  return { count: query.data, error: query.error instanceof Refused ? query.error : undefined };
}

function useSuggestions(text: string, at: Caret, experiments: string[], known: RunColumns | undefined, open: boolean): Suggestion[] {
  const { group, key } = columnOf(at.name ?? "");
  const asksValue = open && (at.expected === "value" || at.expected === "values") && key !== "" && experiments[0] !== undefined;
  const part = at.typed.replace(/^['"]/, "").replace(/['"]$/, "");
  const address = (search: string) => `/tracking/experiments/${experiments[0]}/values?${new URLSearchParams({ key: `${group}.${key}`, search })}`;
  const all = useApi<RunValues>(asksValue ? address("") : undefined, 120_000);
  // Where there are more values than one answer holds, the server looks for what was typed.
  const found = useApi<RunValues>(asksValue && part !== "" && (all.data?.values.length ?? 0) >= mostValues ? address(part) : undefined, 120_000);
  const values = useMemo(
    () => [...new Set([...(all.data?.values ?? []).filter((one) => one.toLowerCase().includes(part.toLowerCase())), ...(found.data?.values ?? [])])],
    [all.data, found.data, part],
  );
  const range = all.data?.range;
  return useMemo(() => {
    if (!open) return [];
    const typed = at.typed.toLowerCase();
    if (text.trim() === "") return [...recent().map((one) => ({ label: one, detail: "used before", insert: one, whole: true })), ...names("", known)];
    switch (at.expected) {
      case "name":
        return names(typed, known);
      case "operator":
        return operators(group, key).filter(({ label }) => label.toLowerCase().startsWith(typed));
      case "value":
      case "values": {
        const fixed = group === "attributes" && key === "status" ? ["FINISHED", "RUNNING", "FAILED", "KILLED", "SCHEDULED"] : undefined;
        const texts = fixed?.filter((one) => one.toLowerCase().includes(part.toLowerCase())) ?? values;
        const fitting: Suggestion[] = texts.map((one) => ({ label: one, insert: at.expected === "values" ? quotedText(one) : `${quotedText(one)} ` }));
        if (range !== undefined && at.typed === "")
          fitting.push(
            { label: number(range.max), detail: "largest", insert: `${range.max} ` },
            { label: number(range.min), detail: "smallest", insert: `${range.min} ` },
          );
        return at.expected === "values" && at.typed === "" && /['"]\s*$/.test(text.slice(0, at.from))
          ? [
              { label: ", …", insert: ", " },
              { label: ")", insert: ") " },
            ]
          : fitting;
      }
      case "list":
        return [{ label: "(", detail: "a list of texts", insert: "(" }];
      case "connector":
        return ["and", "or"].filter((one) => one.startsWith(typed)).map((one) => ({ label: one, insert: `${one} ` }));
    }
  }, [open, text, at.expected, at.typed, at.from, known, values, range, group, key, part]);
}

function names(typed: string, known: RunColumns | undefined): Suggestion[] {
  const bare = typed.replaceAll(/["`]/g, "");
  const of = (group: "metrics" | "params" | "tags"): Suggestion[] =>
    Object.entries(known?.[group] ?? {})
      .sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
      .map(([key, runs]) => ({
        label: `${group}.${key}`,
        insert: `${group}.${quotedKey(key)} `,
        detail: group === "metrics" && runs > 10_000 ? "10,000+ runs" : `${count(runs)} runs`,
      }));
  const all: Suggestion[] = [
    ...of("metrics"),
    ...of("params"),
    ...attributes.map((name) => ({ label: name, insert: `${name} `, detail: "attribute" })),
    ...of("tags"),
    ...(known?.datasets === true
      ? ["name", "digest", "context"].map((name) => ({ label: `datasets.${name}`, insert: `datasets.${name} `, detail: "dataset" }))
      : []),
  ];
  const rank = ({ label }: Suggestion) => {
    const name = label.toLowerCase();
    const key = name.slice(name.indexOf(".") + 1);
    return name.startsWith(bare) || key.startsWith(bare) ? 0 : name.includes(bare) ? 1 : 2;
  };
  return all
    .filter((one) => rank(one) < 2)
    .sort((a, b) => rank(a) - rank(b))
    .slice(0, 60);
}
function operators(group: string, key: string): Suggestion[] {
  const of = (list: [string, string][]): Suggestion[] =>
    list.map(([label, detail]) => ({ label, detail, insert: label === "IN" || label === "NOT IN" ? `${label} (` : `${label} ` }));
  if (group === "metrics" || (group === "attributes" && numeric.has(key)))
    return of([
      [">", "larger"],
      [">=", "at least"],
      ["<", "smaller"],
      ["<=", "at most"],
      ["=", "equal"],
      ["!=", "not equal"],
    ]);
  return of([
    ["=", "equal"],
    ["!=", "not equal"],
    ["LIKE", "fits a pattern: % is anything"],
    ["ILIKE", "the same in any case"],
    ["IN", "one of a list"],
    ["NOT IN", "none of a list"],
    ...(group === "params" || group === "tags"
      ? ([
          ["IS NULL", "is not there"],
          ["IS NOT NULL", "is there"],
        ] satisfies [string, string][])
      : []),
  ]);
}

function recent(): string[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(recentKey) ?? "[]");
    return Array.isArray(kept) ? kept.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
}
function remember(filter: string): void {
  if (filter.trim() === "") return;
  localStorage.setItem(recentKey, JSON.stringify([filter.trim(), ...recent().filter((one) => one !== filter.trim())].slice(0, mostRecent)));
}
