/** How alike two names are, 0 to 1: one less the edits it takes (Levenshtein, 1966) of the longer one's length, without case and punctuation. */
export function likeness(a: string, b: string): number {
  const [x, y] = [plain(a), plain(b)];
  const longer = Math.max(x.length, y.length);
  return longer === 0 ? 0 : 1 - edits(x, y) / longer;
}

/** From here on one name looks like the other one's rename. */
export const alike = 0.6;

const plain = (name: string) =>
  name
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]/gu, "")
    .slice(0, 200);

function edits(a: string, b: string): number {
  let before = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (before[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, (before[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    before = row;
  }
  return before[b.length] ?? 0;
}
