const fields = [
  { name: "minute", min: 0, max: 59, words: [] },
  { name: "hour", min: 0, max: 23, words: [] },
  { name: "day of the month", min: 1, max: 31, words: [] },
  { name: "month", min: 1, max: 12, words: ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"] },
  { name: "day of the week", min: 0, max: 7, words: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] },
] as const;

/** What is wrong with a cron expression of five fields, or undefined. */
export function cronProblem(expression: string): string | undefined {
  const parts = expression.trim().split(/\s+/);
  if (parts.length !== fields.length) {
    return `the cron expression "${expression}" has ${parts.length} fields; there are five: minute, hour, day of the month, month, day of the week`;
  }
  for (const [index, field] of fields.entries()) {
    const words: readonly string[] = field.words;
    const number = (text: string) => {
      const word = words.indexOf(text.toUpperCase());
      if (word >= 0) return field.min + word;
      return /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
    };
    for (const item of (parts[index] ?? "").split(",")) {
      const [range = "", step, ...more] = item.split("/");
      const [from = "", to, ...rest] = range.split("-");
      const bounds = range === "*" ? [] : [from, ...(to === undefined ? [] : [to])].map(number);
      const inside = bounds.every((n) => n >= field.min && n <= field.max) && (bounds[0] ?? 0) <= (bounds[1] ?? Number.POSITIVE_INFINITY);
      const steps = step === undefined || (/^[0-9]+$/.test(step) && Number(step) > 0);
      if (!inside || !steps || more.length > 0 || rest.length > 0) {
        return `"${item}" in the cron expression "${expression}" is no ${field.name}: numbers from ${field.min} to ${field.max}, ranges, lists and steps`;
      }
    }
  }
  return undefined;
}
