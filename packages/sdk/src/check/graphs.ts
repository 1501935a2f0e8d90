import { nodesOf, type ProjectSpec } from "../spec.js";
import { type Report, unknown } from "./report.js";

export function checkInferenceGraphs(spec: ProjectSpec, report: Report): void {
  const endpoints = spec.endpoints.map((one) => one.name);
  for (const graph of spec.inferenceGraphs ?? []) {
    const of = `the inference graph "${graph.name}"`;
    if (endpoints.includes(graph.name)) report(graph, `${of} has the name of an endpoint: both answer by their names, so they need two`);
    for (const node of nodesOf(graph.node)) {
      if (node.kind === "endpoint" && !endpoints.includes(node.endpoint)) report(graph, `${of}: ${unknown("endpoint", node.endpoint, endpoints)}`);
      if (node.kind === "transform" && Object.keys(node.out).length === 0)
        report(graph, `the transform "${node.name}" of ${of} has no output: name one in \`out\``);
      if (node.kind !== "ensemble") continue;
      const names = node.members.map((member) => member.name);
      const twice = names.find((name, at) => names.indexOf(name) !== at);
      if (twice !== undefined) report(graph, `an ensemble of ${of} has two members "${twice}"`);
    }
  }
}
