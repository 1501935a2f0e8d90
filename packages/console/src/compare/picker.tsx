import { type Fact, groups } from "./facts";

const words = { attributes: "Attributes", params: "Params", metrics: "Metrics", tags: "Tags" };

/** One of the facts, by its group. */
export function FactPicker({
  label,
  facts,
  value,
  none = "–",
  onChange,
}: {
  label: string;
  facts: Fact[];
  value: string | undefined;
  none?: string;
  onChange: (id: string | undefined) => void;
}) {
  return (
    <label className="flex items-center gap-1.5 text-muted">
      {label}
      <select className="field max-w-52" value={value ?? ""} onChange={(event) => onChange(event.target.value || undefined)}>
        <option value="">{none}</option>
        {groups.map((group) => {
          const of = facts.filter((fact) => fact.group === group);
          if (of.length === 0) return null;
          return (
            <optgroup key={group} label={words[group]}>
              {of.map((fact) => (
                <option key={fact.id} value={fact.id}>
                  {fact.name}
                </option>
              ))}
            </optgroup>
          );
        })}
      </select>
    </label>
  );
}
