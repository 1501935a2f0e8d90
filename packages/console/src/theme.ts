import { useSyncExternalStore } from "react";

type Choice = "system" | "light" | "dark";
const choices: Choice[] = ["system", "light", "dark"];
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();

const chosen = (): Choice => choices.find((choice) => choice === localStorage.getItem("theme")) ?? "system";
export function applyTheme(): void {
  const choice = chosen();
  document.documentElement.dataset.theme = choice === "system" ? (system.matches ? "dark" : "light") : choice;
  for (const listener of listeners) listener();
}
system.addEventListener("change", applyTheme);

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};
/** What was chosen, and a function that goes on to the next choice. */
export function useTheme(): { choice: Choice; drawn: string; next(): void } {
  const choice = useSyncExternalStore(subscribe, chosen);
  const drawn = useSyncExternalStore(subscribe, () => document.documentElement.dataset.theme ?? "light");
  return {
    choice,
    drawn,
    next() {
      localStorage.setItem("theme", choices[(choices.indexOf(choice) + 1) % choices.length] ?? "system");
      applyTheme();
    },
  };
}
