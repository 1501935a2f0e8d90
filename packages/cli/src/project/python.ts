/** Which files of a project a Python file depends on: what it imports, and the files that it names. Found by reading, without running anything. */

/** Every local module that the files import, over and over, with the packages that it is in. `paths` are the project's files. */
export function pythonClosure(
  entries: readonly string[],
  paths: ReadonlySet<string>,
  read: (path: string) => string,
  rootsOf: (entry: string) => readonly string[],
): string[] {
  const found = new Set<string>();
  for (const entry of entries) {
    const roots = rootsOf(entry);
    const queue = [entry];
    for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
      if (found.has(path)) continue;
      found.add(path);
      if (!path.endsWith(".py")) continue;
      const source = read(path);
      queue.push(...packagesOf(path, paths));
      for (const imported of importsOf(source)) queue.push(...resolved(imported, path, roots, paths));
      // What it imports is decided when it runs: any module may be meant.
      if (/\b(?:import_module|__import__)\(\s*(?!["'][\w.]+["'])/.test(source)) queue.push(...[...paths].filter((one) => one.endsWith(".py")));
      queue.push(...namedFiles(source, path, paths));
    }
  }
  return [...found].sort();
}

/** `module` with its dots at the front where it is relative; `names` are what `from` takes, which may be modules too. */
interface Imported {
  module: string;
  names: string[];
}
export function importsOf(source: string): Imported[] {
  // A backslash, or an open parenthesis, goes on in the next line.
  const text = source.replaceAll(/\\\r?\n/g, " ");
  const found: Imported[] = [];
  for (const [, module = "", inside, rest = ""] of text.matchAll(/^[ \t]*from[ \t]+([.\w]+)[ \t]+import[ \t]*(?:\(([^)]*)\)|([^\n#;]*))/gm)) {
    const names = (inside ?? rest).replaceAll(/#.*$/gm, "").split(",");
    found.push({ module, names: names.flatMap((one) => /^\s*(\w+)/.exec(one)?.[1] ?? []) });
  }
  for (const [, list = ""] of text.matchAll(/^[ \t]*import[ \t]+([\w., \t]+)/gm)) {
    for (const one of list.split(",")) {
      const module = /^\s*([\w.]+)/.exec(one)?.[1];
      if (module !== undefined) found.push({ module, names: [] });
    }
  }
  for (const [, module = ""] of text.matchAll(/\b(?:import_module|__import__)\(\s*["']([\w.]+)["']/g)) found.push({ module, names: [] });
  return found;
}

function resolved({ module, names }: Imported, from: string, roots: readonly string[], paths: ReadonlySet<string>): string[] {
  const dots = /^\.*/.exec(module)?.[0].length ?? 0;
  const parts = module
    .slice(dots)
    .split(".")
    .filter((part) => part !== "");
  const folder = from.split("/").slice(0, -1);
  const bases = dots > 0 ? [folder.slice(0, folder.length - (dots - 1))] : roots.map((root) => (root === "" ? [] : root.split("/")));
  const found: string[] = [];
  for (const base of bases) {
    const here: string[] = [];
    for (const wanted of [parts, ...names.map((name) => [...parts, name])]) {
      for (let length = 1; length <= wanted.length; length++) {
        const stem = [...base, ...wanted.slice(0, length)].join("/");
        if (paths.has(`${stem}/__init__.py`)) here.push(`${stem}/__init__.py`);
        if (length === wanted.length && paths.has(`${stem}.py`)) here.push(`${stem}.py`);
      }
    }
    found.push(...here);
  }
  return found;
}

/** The `__init__.py` of the packages that a module is in. */
function packagesOf(path: string, paths: ReadonlySet<string>): string[] {
  const folders = path.split("/").slice(0, -1);
  return folders.map((_, index) => `${folders.slice(0, index + 1).join("/")}/__init__.py`).filter((one) => paths.has(one));
}

/** Files that a text names as they lie in the project, or beside the file that names them: `open("config/model.json")`. */
export function namedFiles(source: string, from: string, paths: ReadonlySet<string>): string[] {
  const folder = from.includes("/") ? from.slice(0, from.lastIndexOf("/") + 1) : "";
  return [...paths].filter((path) => {
    if (path === from || path.endsWith(".py")) return false;
    if (names(source, path)) return true;
    return folder !== "" && path.startsWith(folder) && names(source, path.slice(folder.length));
  });
}
const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
const names = (source: string, path: string): boolean =>
  source.includes(path) && new RegExp(`(?:^|["'\`\\s=(/])(?:\\./)?${escaped(path)}(?:$|["'\`\\s;),])`, "m").test(source);
