/** Which files of a folder are the project's code: all but what ignore files, and some rules of ours, leave out. */

/** `true` where the path, relative and with `/`, is left out. A folder's path ends with `/`. */
export type Ignored = (path: string) => boolean;

/** Folders of data, of packages and of builds. Dotfiles are left out too. */
const always = ["node_modules/", "__pycache__/", "dist/", "data/", "arrivals/", "millrace-data/", "*.pyc", "*.parquet"];

/** Lines as in a .gitignore: `*`, `**`, `?`, a `/` at the end for folders, one at the start or within for paths, `!` to take back. */
export function ignoring(lines: readonly string[]): Ignored {
  const rules = [...always, ...lines].flatMap((line) => {
    const text = line.trim();
    if (text === "" || text.startsWith("#")) return [];
    const back = text.startsWith("!");
    return [{ back, pattern: patternOf(back ? text.slice(1) : text) }];
  });
  return (path) => {
    const name = path.replace(/\/$/, "").split("/").at(-1) ?? "";
    if (name.startsWith(".")) return true;
    let ignored = false;
    for (const { back, pattern } of rules) if (pattern.test(path)) ignored = !back;
    return ignored;
  };
}

/** A line of an ignore file as what paths are tested with. */
export function patternOf(text: string): RegExp {
  const folder = text.endsWith("/");
  const body = folder ? text.slice(0, -1) : text;
  const anchored = body.includes("/");
  const source = body
    .replace(/^\//, "")
    .replaceAll(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("**/", "\u0000")
    .replaceAll("**", "\u0001")
    .replaceAll("*", "[^/]*")
    .replaceAll("?", "[^/]")
    .replaceAll("\u0000", "(?:.*/)?")
    .replaceAll("\u0001", ".*");
  return new RegExp(`^${anchored ? "" : "(?:.*/)?"}${source}${folder ? "/" : "/?"}$`);
}
