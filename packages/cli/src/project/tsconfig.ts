/** The tsconfig.json that a project is read by. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const sdkTypes = fileURLToPath(new URL("../../../sdk/dist/index.d.ts", import.meta.url));

/**
 * Where a project points to the SDK of a checkout that is not there, as it does on another machine than the one it was made on, the SDK of the command that
 * runs takes its place: by a file in `.millrace` that says this and nothing else.
 */
export function tsconfigOf(folder: string): string | undefined {
  const file = path.join(folder, "tsconfig.json");
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file, "utf8");
  const named = /"@millrace\/sdk"\s*:\s*\[\s*"([^"]+)"/.exec(text)?.[1];
  if (named === undefined || existsSync(path.resolve(folder, named)) || installed(folder)) return file;
  const own = path.join(folder, ".millrace", "tsconfig.json");
  mkdirSync(path.dirname(own), { recursive: true });
  const paths = Object.entries(pathsIn(text)).map(([name, places]) => [name, places.map((place) => path.resolve(folder, place))]);
  const compilerOptions = { paths: { ...Object.fromEntries(paths), "@millrace/sdk": [sdkTypes] } };
  writeFileSync(own, `${JSON.stringify({ extends: "../tsconfig.json", compilerOptions }, null, 2)}\n`);
  return own;
}

function installed(folder: string): boolean {
  for (let at = folder; ; at = path.dirname(at)) {
    if (existsSync(path.join(at, "node_modules", "@millrace", "sdk"))) return true;
    if (at === path.dirname(at)) return false;
  }
}

/** The file may hold comments and commas that JSON does not know: they are left out as far as that is needed here. */
function pathsIn(text: string): Record<string, string[]> {
  const block = /"paths"\s*:\s*\{([^}]*)\}/.exec(text)?.[1] ?? "";
  return Object.fromEntries(
    [...block.matchAll(/"([^"]+)"\s*:\s*\[([^\]]*)\]/g)].map(([, name = "", places = ""]) => [
      name,
      [...places.matchAll(/"([^"]+)"/g)].map(([, one = ""]) => one),
    ]),
  );
}
