/** What a project is built on, by its lock files, as a CycloneDX document (ECMA-424, version 1.6). The same lock files give the same bytes. */
import { canonical } from "@millrace/sdk/release";

interface Component {
  type: "library";
  "bom-ref": string;
  name: string;
  version: string;
  purl: string;
  group?: string;
  scope?: "optional";
  hashes?: Hash[];
  licenses?: { license: { name: string } }[];
  /** Where a version comes as several files, each with a hash of its own. */
  externalReferences?: { type: "distribution"; url: string; hashes: Hash[] }[];
}
interface Hash {
  alg: "SHA-1" | "SHA-256" | "SHA-384" | "SHA-512";
  content: string;
}
interface Locked {
  components: Component[];
  /** References of what the project itself asks for. */
  direct: string[];
  dependencies: { ref: string; dependsOn: string[] }[];
}

/** Which of a project's files say what it is built on. */
export const isLock = (path: string): boolean =>
  /(^|\/)(package-lock\.json|(requirements[^/]*|[^/]+\.requirements)\.(lock|txt)|requirements\.lock)$/.test(path);

/** Throws a RangeError that names the file that can't be read. */
export function sbomOf(project: { name: string; commit: string }, locks: readonly { path: string; text: string }[]): Uint8Array<ArrayBuffer> {
  const found = locks.map(({ path, text }) => (path.endsWith(".json") ? npmLock(path, text) : pythonLock(text)));
  const root = `${project.name}@${project.commit}`;
  const components = new Map(found.flatMap((lock) => lock.components.map((one) => [one["bom-ref"], one] as const)));
  const dependencies = new Map<string, Set<string>>([[root, new Set(found.flatMap(({ direct }) => direct))]]);
  for (const { ref, dependsOn } of found.flatMap((lock) => lock.dependencies)) {
    const known = dependencies.get(ref) ?? new Set();
    for (const one of dependsOn) known.add(one);
    dependencies.set(ref, known);
  }
  const inOrder = (texts: Iterable<string>) => [...texts].sort();
  const document = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      component: { type: "application", "bom-ref": root, name: project.name, version: project.commit },
      properties: inOrder(locks.map(({ path }) => path)).map((value) => ({ name: "millrace:lock", value })),
    },
    components: inOrder(components.keys()).map((ref) => components.get(ref)),
    dependencies: inOrder(dependencies.keys()).map((ref) => ({ ref, dependsOn: inOrder(dependencies.get(ref) ?? []) })),
  };
  return Buffer.from(canonical(document));
}

// --------------------------------------------------------------------------------------------------------- npm

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const record = (value: unknown): Record<string, unknown> => (isRecord(value) ? value : {});
const folder = "node_modules/";

function npmLock(path: string, text: string): Locked {
  const packages = record(record(parsed(path, text)).packages);
  if (Object.keys(packages).length === 0) throw new RangeError(`${path} has no list of packages: write it with npm 7 or newer.`);
  const refs = new Map<string, string>();
  const components: Component[] = [];
  for (const [place, given] of Object.entries(packages)) {
    const one = record(given);
    // What is no package of a registry is a part of the project itself, or a link to one.
    if (!place.includes(folder) || typeof one.version !== "string" || one.link === true) continue;
    const name = typeof one.name === "string" ? one.name : place.slice(place.lastIndexOf(folder) + folder.length);
    const [group, base] = name.startsWith("@") ? name.split("/") : [undefined, name];
    const purl = `pkg:npm/${group === undefined ? "" : `${encodeURIComponent(group)}/`}${encodeURIComponent(base ?? name)}@${encodeURIComponent(one.version)}`;
    refs.set(place, purl);
    const hashes = hashesOf(one.integrity);
    components.push({
      type: "library",
      "bom-ref": purl,
      ...(group === undefined ? {} : { group }),
      name: base ?? name,
      version: one.version,
      purl,
      ...(one.optional === true || one.dev === true || one.devOptional === true ? { scope: "optional" as const } : {}),
      ...(hashes.length === 0 ? {} : { hashes }),
      ...(typeof one.license === "string" && one.license !== "" ? { licenses: [{ license: { name: one.license } }] } : {}),
    });
  }
  const wants = (place: string): string[] => {
    const one = record(packages[place]);
    const names = [one.dependencies, one.optionalDependencies, ...(place.includes(folder) ? [] : [one.devDependencies])].flatMap((list) =>
      Object.keys(record(list)),
    );
    return [...new Set(names.flatMap((name) => refs.get(resolved(packages, place, name)) ?? []))];
  };
  const own = Object.keys(packages).filter((place) => !place.includes(folder));
  return {
    components,
    direct: [...new Set(own.flatMap(wants))],
    dependencies: [...refs].map(([place, ref]) => ({ ref, dependsOn: wants(place) })),
  };
}

/** Where Node finds a package that is asked for at a place: in the nearest `node_modules` above it. */
function resolved(packages: Record<string, unknown>, place: string, name: string): string {
  for (let at = place; ; ) {
    const found = `${at === "" ? "" : `${at}/`}${folder}${name}`;
    if (found in packages || at === "") return found;
    const above = at.lastIndexOf(`/${folder}`);
    at = above < 0 ? "" : at.slice(0, above);
  }
}

/** Of subresource integrity: `sha512-` and base64. */
function hashesOf(integrity: unknown): Hash[] {
  if (typeof integrity !== "string") return [];
  const names = { sha1: "SHA-1", sha256: "SHA-256", sha384: "SHA-384", sha512: "SHA-512" } as const;
  return integrity.split(/\s+/).flatMap((one) => {
    const [, kind, value] = /^(sha1|sha256|sha384|sha512)-([A-Za-z0-9+/=]+)/.exec(one) ?? [];
    if (kind === undefined || value === undefined || !(kind in names)) return [];
    const alg = names[kind as keyof typeof names];
    return [{ alg, content: Buffer.from(value, "base64").toString("hex") }];
  });
}

// ------------------------------------------------------------------------------------------------------ Python

/** Locked requirements as `uv pip compile` and `pip-compile` write them; of a line without `==` there is no version to tell. */
function pythonLock(text: string): Locked {
  const components = text
    .replaceAll(/\\\r?\n/g, " ")
    .split(/\r?\n/)
    .flatMap((line): Component[] => {
      const [, name, version] = /^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*==\s*([A-Za-z0-9.!+_-]+)/.exec(line.trim()) ?? [];
      if (name === undefined || version === undefined) return [];
      // PyPI's names are compared so (PEP 503).
      const normal = name.toLowerCase().replaceAll(/[-_.]+/g, "-");
      const purl = `pkg:pypi/${normal}@${encodeURIComponent(version)}`;
      const hashes = [...line.matchAll(/--hash=sha256:([0-9a-f]{64})/g)].map(([, content = ""]) => content).sort();
      const references = hashes.map((content) => ({ type: "distribution" as const, url: purl, hashes: [{ alg: "SHA-256" as const, content }] }));
      return [{ type: "library", "bom-ref": purl, name: normal, version, purl, ...(references.length === 0 ? {} : { externalReferences: references }) }];
    });
  return { components, direct: components.map((one) => one["bom-ref"]), dependencies: components.map((one) => ({ ref: one["bom-ref"], dependsOn: [] })) };
}

function parsed(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new RangeError(`${path} is no JSON.`);
  }
}
