/** Seconds side by side, with the ratio of the quickest peer to Millrace and with what was to be reached. */
const goals = {
  "10 steps": "0.5",
  "10 steps in Python": "2",
  "50 steps, all cached": "0.3",
  "fan-out of 1,000": "20",
};

export function table(results) {
  const tools = Object.keys(results);
  const cases = [...new Set(tools.flatMap((tool) => Object.keys(results[tool])))];
  const head = ["seconds", ...tools, "quickest peer / millrace", "to reach"];
  const lines = cases.map((what) => {
    const own = results.millrace?.[what];
    const peers = tools.filter((tool) => tool !== "millrace").flatMap((tool) => results[tool][what] ?? []);
    const ratio = own === undefined || peers.length === 0 ? "" : `${(Math.min(...peers) / own).toFixed(1)} ×`;
    return [what, ...tools.map((tool) => results[tool][what]?.toFixed(2) ?? "–"), ratio, goals[what] ?? ""];
  });
  return [head, head.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
