/** Where the function of an expectation stands in its module, and what it reads of a row. */
import { SourceMap } from "node:module";
import { type AnyNode, type CallExpression, type Node, type ObjectExpression, type Property, parse } from "acorn";
import type { Loader } from "esbuild";

export interface Found {
  /** An expression that may stand at the module's end. */
  text: string;
  /** Of the expectation, counted from 1. */
  line: number;
  /** The columns that it reads; undefined where that can't be told. */
  columns: string[] | undefined;
}
interface Wanted {
  name: string;
  /** Of the schema whose list it is written into; undefined where it is an `expectation({ … })`. */
  schema: string | undefined;
  /** Where the one or the other stands, as its call says. Of a module that was run without a map of its source it is another line. */
  line: number;
}

/** Undefined where it is not at the top of the module: there it may use what only a function around it knows. */
export async function findFunction(source: string, loader: Loader, { name, schema, line }: Wanted): Promise<Found | undefined> {
  const { transform } = await import("esbuild");
  const { code, map } = await transform(source, { loader, sourcemap: "external", target: "esnext", format: "esm", logLevel: "silent" });
  const origin = new SourceMap(JSON.parse(map));
  const starts = [0];
  for (let at = code.indexOf("\n"); at >= 0; at = code.indexOf("\n", at + 1)) starts.push(at + 1);
  const lineOf = (at: number): number => {
    let row = 0;
    while (row + 1 < starts.length && (starts[row + 1] ?? 0) <= at) row++;
    const entry = origin.findEntry(row, at - (starts[row] ?? 0));
    return "originalLine" in entry ? entry.originalLine + 1 : 0;
  };
  const program = parse(code, { ecmaVersion: "latest", sourceType: "module" });
  const written = callsIn(program, true).flatMap(({ call, top }) => {
    const [given] = call.arguments;
    if (given?.type !== "ObjectExpression") return [];
    const objects = schema === undefined ? [given] : listed(given, "expectations");
    const here = lineOf(call.start) === line || lineOf(call.callee.end) === line;
    const named = schema === undefined || textOf(given, "name") === schema;
    return objects.flatMap((object) => {
      const check = propertyOf(object, "check");
      return check === undefined ? [] : [{ object, check, top, here, named: named && textOf(object, "name") === name }];
    });
  });
  const here = written.filter((one) => one.here);
  const [found, another] = (here.length > 0 ? here : written).filter((one) => one.named);
  if (found === undefined || another !== undefined || !found.top || found.check.kind !== "init") return undefined;
  const { object, check } = found;
  return {
    text: check.method ? `({ ${code.slice(check.start, check.end)} }).check` : code.slice(check.value.start, check.value.end),
    line: lineOf(object.start),
    columns: columnsOf(check.value, program),
  };
}

function textOf(object: ObjectExpression, key: string): unknown {
  const value = propertyOf(object, key)?.value;
  return value?.type === "Literal" ? value.value : undefined;
}
function listed(object: ObjectExpression, key: string): ObjectExpression[] {
  const list = propertyOf(object, key)?.value;
  return list?.type === "ArrayExpression" ? list.elements.filter((one) => one?.type === "ObjectExpression") : [];
}
function propertyOf(object: ObjectExpression, name: string): Property | undefined {
  return object.properties.find((one): one is Property => one.type === "Property" && keyOf(one) === name);
}
function keyOf({ computed, key }: { computed: boolean; key: AnyNode }): string | undefined {
  if (key.type === "Literal") return String(key.value);
  return !computed && key.type === "Identifier" ? key.name : undefined;
}

const isNode = (value: unknown): value is AnyNode => typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
const childrenOf = (node: AnyNode): AnyNode[] =>
  Object.values<unknown>({ ...node })
    .flat()
    .filter(isNode);

/** `top`: the call runs once, when the module does, and sees only what stands at its top. */
function callsIn(node: AnyNode, top: boolean): { call: CallExpression; top: boolean }[] {
  const within = top && !/Function|Class|BlockStatement/.test(node.type);
  return [...(node.type === "CallExpression" ? [{ call: node, top }] : []), ...childrenOf(node).flatMap((one) => callsIn(one, within))];
}

/**
 * The columns that a function reads: those of its pattern, or the properties that it takes of its row where it does nothing else with the row. Rows
 * of few columns are read several times as quickly.
 */
function columnsOf(value: AnyNode, program: Node & { body: AnyNode[] }): string[] | undefined {
  const written = value.type === "Identifier" ? definition(value.name, program.body) : value;
  if (written === undefined || !/^(ArrowFunction|Function)(Expression|Declaration)$/.test(written.type) || !("params" in written)) return undefined;
  const [row, ...more] = written.params;
  if (more.length > 0 || mentions(written, "arguments") || mentions(written, "eval")) return undefined;
  const names = new Set<string>();
  if (row === undefined) return [];
  if (row.type === "ObjectPattern") return keysOf(row.properties, names) ? [...names].sort() : undefined;
  return row.type === "Identifier" && isNode(written.body) && reads(written.body, row.name, names) ? [...names].sort() : undefined;
}

/** What a name stands for that a module gives once. */
function definition(name: string, body: readonly AnyNode[]): AnyNode | undefined {
  for (const statement of body) {
    const one = statement.type === "ExportNamedDeclaration" && isNode(statement.declaration) ? statement.declaration : statement;
    if (one.type === "FunctionDeclaration" && one.id?.name === name) return one;
    if (one.type !== "VariableDeclaration" || one.kind !== "const") continue;
    for (const { id, init } of one.declarations) if (id.type === "Identifier" && id.name === name && isNode(init)) return init;
  }
  return undefined;
}

const mentions = (node: AnyNode, name: string): boolean =>
  (node.type === "Identifier" && node.name === name) || childrenOf(node).some((one) => mentions(one, name));

/** Notes the keys of a pattern; false where not all are known. */
function keysOf(properties: readonly AnyNode[], names: Set<string>): boolean {
  return properties.every((one) => {
    const key = one.type === "Property" ? keyOf(one) : undefined;
    if (key !== undefined) names.add(key);
    return key !== undefined;
  });
}

/** Notes what is read of `row`; false where something else is done with it. */
function reads(node: AnyNode, row: string, names: Set<string>): boolean {
  const isRow = (one: unknown) => isNode(one) && one.type === "Identifier" && one.name === row;
  if (isRow(node)) return false;
  if (node.type === "MemberExpression") {
    const key = isRow(node.object) ? keyOf({ computed: node.computed, key: node.property }) : undefined;
    if (key !== undefined) names.add(key);
    return (key !== undefined || reads(node.object, row, names)) && (!node.computed || reads(node.property, row, names));
  }
  if (node.type === "VariableDeclarator" && isRow(node.init) && node.id.type === "ObjectPattern") return keysOf(node.id.properties, names);
  if (node.type === "Property") return (!node.computed || reads(node.key, row, names)) && reads(node.value, row, names);
  return childrenOf(node).every((one) => reads(one, row, names));
}
