/** Bundles of TypeScript steps, transforms and expectations: one file with a function and all that it imports, the same wherever it is made. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import * as sdk from "@millrace/sdk";
import type { BuildOptions, Loader, Message, Plugin } from "esbuild";
import { CliError } from "../errors.js";
import { findFunction } from "./expectation.js";

export interface Bundle {
  path: string;
  bytes: Uint8Array;
}
/** A step: its name, and where `step({ … })` stands, as the document of a project says it before it is bundled: `pipelines/clean.ts:12`. */
export interface StepPlace {
  step: string;
  place: string;
}

export const bundleStep = (folder: string, { step, place }: StepPlace): Promise<Bundle> => bundleDefinition(folder, "step", step, place);

/** `place` is where `transform({ … })` stands. */
export const bundleTransform = (folder: string, { name, place }: { name: string; place: string }): Promise<Bundle> =>
  bundleDefinition(folder, "transform", name, place);

/** What a builder of functions was given, of the definition of that name. */
type Builder = "step" | "transform";
async function bundleDefinition(folder: string, builder: Builder, name: string, place: string): Promise<Bundle> {
  const what = `the ${builder} "${name}"`;
  const { module, line } = placeOf(place, what);
  const found = exportOf(await readFile(path.resolve(folder, module), "utf8"), line, name, builder);
  const stem = module.replace(/\.[^./]*$/, "").replaceAll(/[^A-Za-z0-9_-]+/g, "__");
  const bytes = await bundle(folder, {
    ...{ what, module, name: builder, registry: `${builder}s`, key: name },
    ...(found === undefined ? {} : { exported: found.exported ? found.name : "millraceExport" }),
    ...(found === undefined || found.exported ? {} : { extra: `export { ${found.name} as millraceExport };` }),
  });
  return { path: `.millrace/${builder}s/${stem}.${name}.mjs`, bytes };
}

/** A function of an expectation. `place` is where `expectation({ … })` stands; without it the expectation is written into its schema. */
export interface ExpectationPlace {
  schema: string;
  expectation: string;
  place: string | undefined;
  schemaPlace: string;
}
export interface ExpectationBundle extends Bundle {
  /** What the function reads, where that can be told. */
  columns: string[] | undefined;
  /** Where it stands, where that was not known before. */
  definedAt: string | undefined;
}

export async function bundleExpectation(folder: string, { schema, expectation, place, schemaPlace }: ExpectationPlace): Promise<ExpectationBundle> {
  const what = `the expectation "${expectation}" of the schema "${schema}"`;
  const { module, line } = placeOf(place ?? schemaPlace, what);
  const file = path.resolve(folder, module);
  const source = await readFile(file, "utf8");
  const found = await findFunction(source, loaderOf(file), { name: expectation, schema: place === undefined ? schema : undefined, line });
  const bytes = await bundle(folder, {
    ...{ what, name: "check", registry: "expectations", key: `${schema} ${expectation}` },
    ...(found === undefined
      ? // Made in a function or a list: its schema knows it, once the schema's module has run.
        { module: placeOf(schemaPlace, what).module }
      : { module, exported: "millraceCheck", extra: `export const millraceCheck = ${found.text};` }),
  });
  const definedAt = place === undefined && found !== undefined ? `${module}:${found.line}` : undefined;
  return { path: `.millrace/expectations/${schema}.${expectation}.mjs`, bytes, columns: found?.columns, definedAt };
}

function placeOf(place: string, what: string): { module: string; line: number } {
  const [, module = "", line = "0"] = /^(.*):(\d+)$/.exec(place) ?? [];
  if (module === "") throw new CliError(`${what.charAt(0).toUpperCase()}${what.slice(1)} is at no place that is known: define it in a file of the project.`);
  return { module, line: Number(line) };
}

interface Wanted {
  /** For people. */
  what: string;
  module: string;
  /** What the bundle exports it as. */
  name: string;
  /** What the module exports it as, with `extra` at its end. Without it the module is run, and what it made is found by a key. */
  exported?: string;
  extra?: string;
  registry: `${Builder}s` | "expectations";
  key: string;
}
async function bundle(folder: string, { what, module, name, exported, extra, registry, key }: Wanted): Promise<Uint8Array> {
  const { build } = await import("esbuild");
  const specifier = JSON.stringify(module.startsWith(".") || path.isAbsolute(module) ? module : `./${module}`);
  const contents =
    exported === undefined
      ? // Made in a function or a list: it is known by its name, once its module has run.
        `import ${specifier};\nexport const ${name} = globalThis[Symbol.for("millrace.${registry}")]?.get(${JSON.stringify(key)});\n`
      : `export { ${exported} as ${name} } from ${specifier};\n`;
  const options: BuildOptions & { write: false } = {
    stdin: { contents, resolveDir: folder, sourcefile: `${name}.js` },
    absWorkingDir: folder,
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
    target: "node20",
    charset: "utf8",
    legalComments: "none",
    logLevel: "silent",
    logOverride: { "empty-import-meta": "silent" },
    loader: { ".node": "empty" },
    // Packages that are not ES modules ask for what belongs to Node.
    banner: { js: 'import { createRequire as millraceRequire } from "node:module";\nconst require = millraceRequire(import.meta.url);' },
    plugins: [definitions(path.resolve(folder, module), extra === undefined ? undefined : `\n${extra}\n`, exported === undefined)],
  };
  try {
    const result = await build(options);
    const [output] = result.outputFiles;
    if (output === undefined) throw new Error(`esbuild gave no file for ${module}.`);
    return output.contents;
  } catch (error) {
    throw new CliError(problems(error, folder, what));
  }
}

/** The name that a module gives to a definition at its top: by the line, or by the definition's own name where the line is another one. */
export function exportOf(source: string, line: number, step: string, builder: Builder = "step"): { name: string; exported: boolean } | undefined {
  const lines = source.split("\n");
  const definedIn = (text: string) => definedBy(builder, text);
  const atLine = definedIn(lines[line - 1] ?? "");
  if (atLine !== undefined) return atLine;
  const named = new RegExp(`\\bname:\\s*["'\`]${step}["'\`]`);
  for (const [index, text] of lines.entries()) {
    const defined = definedIn(text);
    if (defined === undefined) continue;
    const rest = lines.slice(index + 1);
    const next = rest.findIndex((one) => definedIn(one) !== undefined);
    if (named.test([text, ...(next < 0 ? rest : rest.slice(0, next))].join("\n"))) return defined;
  }
  return undefined;
}
const builders: Readonly<Record<Builder, { alone: RegExp; named: RegExp }>> = {
  step: {
    alone: /^export\s+default\s+step\s*[(<]/,
    named: /^(export\s+)?(?:const|let|var)\s+([A-Za-z_$][\w$]*)\s*(?::[^=]*)?=\s*(?:[A-Za-z_$][\w$]*\.)?step\s*[(<]/,
  },
  transform: {
    alone: /^export\s+default\s+transform\s*[(<]/,
    named: /^(export\s+)?(?:const|let|var)\s+([A-Za-z_$][\w$]*)\s*(?::[^=]*)?=\s*(?:[A-Za-z_$][\w$]*\.)?transform\s*[(<]/,
  },
};
function definedBy(builder: Builder, line: string): { name: string; exported: boolean } | undefined {
  const { alone, named } = builders[builder];
  if (alone.test(line)) return { name: "default", exported: true };
  const [, exported, name] = named.exec(line) ?? [];
  return name === undefined ? undefined : { name, exported: exported !== undefined };
}

function loaderOf(file: string): Loader {
  return /\.[cm]?ts$/.test(file) ? "ts" : file.endsWith("tsx") ? "tsx" : file.endsWith("jsx") ? "jsx" : "js";
}

function definitions(module: string, extra: string | undefined, byName: boolean): Plugin {
  return {
    name: "millrace",
    setup(build) {
      build.onResolve({ filter: /^@millrace\/sdk$/ }, () => ({ path: "@millrace/sdk", namespace: "millrace", sideEffects: byName }));
      build.onResolve({ filter: /^@millrace\/sdk\// }, ({ path: name }) => ({ path: fileURLToPath(import.meta.resolve(name)) }));
      build.onLoad({ filter: /.*/, namespace: "millrace" }, () => ({ contents: runtime(byName), loader: "js" }));
      build.onLoad({ filter: /\.node$/ }, ({ path: file }) => ({
        errors: [{ text: `${path.basename(file)} is a native addon, which no bundle can hold: a step that needs it is one of python(…) or command(…)` }],
      }));
      build.onLoad({ filter: /\.[cm]?[jt]sx?$/ }, async ({ path: file }) => {
        const own = path.resolve(file) === module;
        if (byName || (!own && file.includes(`${path.sep}node_modules${path.sep}`))) return undefined;
        const text = await readFile(file, "utf8");
        if (!text.includes("@millrace/sdk") && !own) return undefined;
        return { contents: `${withoutDefinitions(text)}${own ? (extra ?? "") : ""}`, loader: loaderOf(file) };
      });
    },
  };
}

/**
 * What stands for the SDK in a bundle: a step is its options, columns have their types, and all other definitions are nothing. As functions of the
 * module that calls them they are known to have no effect, so that what a step does not use falls away.
 */
function withoutDefinitions(source: string): string {
  return source.replaceAll(/^import\s*\{([^}]*)\}\s*from\s*["']@millrace\/sdk["'];?/gm, (_whole, list: string) =>
    list
      .replaceAll(/\/\/.*$/gm, "")
      .split(",")
      .flatMap((one) => {
        const [, type, name, local] = /^\s*(type\s)?\s*([\w$]+)(?:\s+as\s+([\w$]+))?\s*$/.exec(one) ?? [];
        // What is used as a type alone comes to nothing, as it does in an import.
        return type !== undefined || name === undefined ? [] : [standIn(name, local ?? name)];
      })
      .join(" "),
  );
}
const columns = new Set(["string", "int64", "float64", "boolean", "timestamp", "date"]);
const kinds: Readonly<Record<string, string>> = { Table: "table", Model: "model", File: "file", Json: "json", Metrics: "metrics" };
function standIn(name: string, local: string): string {
  const result = columns.has(name)
    ? `{ type: "${name}" }`
    : ({
        step: "given",
        transform: "given",
        expectation: "given",
        table: '{ kind: "table", columns: given }',
        json: '{ kind: "json" }',
        many: "{ many: given }",
      }[name] ?? "nothing");
  if (name === "durationMs") return `import { durationMs${local === name ? "" : ` as ${local}`} } from "@millrace/sdk/duration";`;
  const kind = kinds[name];
  if (kind !== undefined) return `const ${local} = { kind: "${kind}" };`;
  if (result === "nothing" && !calledAlone(name)) return `import { ${name === local ? name : `${name} as ${local}`} } from "@millrace/sdk";`;
  return `/* @__NO_SIDE_EFFECTS__ */ function ${local}(given) { return ${result === "nothing" ? "new Proxy(function () {}, { get: (proxy, key, self) => (key === Symbol.toPrimitive ? () => '' : self), apply: () => undefined })" : result}; }`;
}
/** Functions, and no objects of functions such as errorRate. */
const calledAlone = (name: string): boolean => typeof Reflect.get(sdk, name) === "function";

/** Steps, transforms and expectations that are known by name, once their module has run. */
const registering = [
  'const known = (list) => (globalThis[Symbol.for("millrace." + list)] ??= new Map());',
  'export function step(options) { known("steps").set(options.name, options); return options; }',
  'export function transform(options) { known("transforms").set(options.name, options); return options; }',
  'export function schema(options) { for (const one of options.expectations ?? []) known("expectations").set(options.name + " " + one.name, one.check); return nothing; }',
];
/** The SDK for modules that take it whole, or whose steps are known by name. */
function runtime(byName: boolean): string {
  const own = new Set([...columns, ...Object.keys(kinds), "step", "transform", "schema", "expectation", "table", "json", "many", "durationMs"]);
  return [
    "const nothing = /* @__PURE__ */ new Proxy(function () {}, { get: (_, key) => (key === Symbol.toPrimitive ? () => '' : nothing), apply: () => nothing });",
    ...(byName
      ? registering
      : ["export function step(options) { return options; }", "export function transform(options) { return options; }", "export const schema = nothing;"]),
    "export function expectation(options) { return options; }",
    'export function table(columns) { return { kind: "table", columns }; }',
    'export function json() { return { kind: "json" }; }',
    "export function many(kind) { return { many: kind }; }",
    'export { durationMs } from "@millrace/sdk/duration";',
    ...[...columns].map((type) => `export function ${type}() { return { type: "${type}" }; }`),
    ...Object.entries(kinds).map(([name, kind]) => `export const ${name} = { kind: "${kind}" };`),
    ...Object.keys(sdk)
      .filter((name) => !own.has(name) && /^[A-Za-z_$][\w$]*$/.test(name))
      .map((name) => `const millrace_${name} = nothing;\nexport { millrace_${name} as ${name} };`),
  ].join("\n");
}

function problems(error: unknown, folder: string, what: string): string {
  const errors = typeof error === "object" && error !== null && "errors" in error && Array.isArray(error.errors) ? error.errors : [];
  const lines = errors.slice(0, 5).map((one: Message) => {
    const { location, text } = one;
    return location === null ? `${what}: ${text}` : `${path.relative(folder, path.resolve(folder, location.file))}:${location.line}: ${text}`;
  });
  return lines.length > 0 ? lines.join("\n") : `${what} can't be bundled: ${error instanceof Error ? error.message : String(error)}`;
}
