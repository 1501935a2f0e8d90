import { everyNode, type ProjectSpec } from "../spec.js";
import { cronProblem } from "./cron.js";
import { wrongValue } from "./params.js";
import { checkDuration, type Report, unknown } from "./report.js";
import { checkFallback, checkRollout } from "./rollouts.js";

export function checkEndpoints(spec: ProjectSpec, report: Report): void {
  const services = spec.featureServices.map((one) => one.name);
  for (const endpoint of spec.endpoints) {
    const of = `the endpoint "${endpoint.name}"`;
    if (endpoint.service !== undefined && !services.includes(endpoint.service))
      report(endpoint, `${of}: ${unknown("feature service", endpoint.service, services)}`);
    checkRollout(
      endpoint,
      spec.featureServices.find((one) => one.name === endpoint.service)?.request.map((one) => one.name),
      report,
    );
    checkFallback(endpoint, report);
    if (endpoint.workers?.timeout !== undefined) checkDuration(`"workers.timeout" of ${of}`, endpoint.workers.timeout, endpoint, report);
    checkDuration(`"retain" of the log of ${of}`, endpoint.log.retain, endpoint, report);
    for (const pipeline of spec.pipelines) {
      for (const node of everyNode(pipeline.nodes)) {
        if (node.kind === "register" && node.config.model === endpoint.model && node.config.service !== endpoint.service) {
          const has = endpoint.service === undefined ? "no features" : `the features of "${endpoint.service}"`;
          report(endpoint, `${of} has ${has}; its model "${endpoint.model}" is trained on those of "${node.config.service}"`);
        }
      }
    }
  }
}

export function checkMonitors(spec: ProjectSpec, report: Report): void {
  const endpoints = spec.endpoints.map((one) => one.name);
  for (const monitor of spec.monitors) {
    const of = `the monitor "${monitor.name}"`;
    const endpoint = spec.endpoints.find((one) => one.name === monitor.endpoint);
    if (endpoint === undefined) report(monitor, `${of}: ${unknown("endpoint", monitor.endpoint, endpoints)}`);
    else if (endpoint.service === undefined)
      report(monitor, `${of} compares features, and the endpoint "${endpoint.name}" has none: give it a feature service`);
    checkDuration(`"every" of ${of}`, monitor.every, monitor, report);
    checkDuration(`"window" of ${of}`, monitor.window, monitor, report);
  }
}

export function checkTriggers(spec: ProjectSpec, report: Report): void {
  for (const trigger of spec.triggers) {
    const of = `the trigger "${trigger.name}"`;
    const pipeline = spec.pipelines.find((one) => one.name === trigger.pipeline);
    if (pipeline === undefined) report(trigger, `${of}: ${unknown("pipeline", trigger.pipeline, names(spec.pipelines))}`);
    for (const [name, value] of Object.entries(trigger.params ?? {})) {
      const param = pipeline?.params.find((one) => one.name === name);
      if (pipeline !== undefined && param === undefined) report(trigger, `${of}: ${unknown(`param of "${pipeline.name}"`, name, names(pipeline.params))}`);
      const wrong = param === undefined ? undefined : wrongValue(param, value);
      if (wrong !== undefined) report(trigger, `${of} gives the param "${name}" the value ${wrong}`);
    }
    for (const param of pipeline?.params ?? []) {
      if (param.default === undefined && trigger.params?.[param.name] === undefined) {
        report(trigger, `${of} starts the pipeline "${trigger.pipeline}" without its param "${param.name}", which has no default`);
      }
    }
    checkDuration(`the cool-down of ${of}`, trigger.coolDown, trigger, report);
    for (const condition of trigger.when) {
      if (condition.kind === "new_data") {
        if (!names(spec.datasets).includes(condition.dataset)) report(trigger, `${of}: ${unknown("dataset", condition.dataset, names(spec.datasets))}`);
      } else if (condition.kind === "cron") {
        const problem =
          cronProblem(condition.expression) ?? (isZone(condition.zone) ? undefined : `"${condition.zone}" is no time zone, as "America/New_York" is one`);
        if (problem !== undefined) report(trigger, `${of}: ${problem}`);
      } else {
        const monitor = spec.monitors.find((one) => one.name === condition.monitor);
        if (monitor === undefined) report(trigger, `${of}: ${unknown("monitor", condition.monitor, names(spec.monitors))}`);
        else if (condition.kind === "below" && !monitor.performance.metrics.includes(condition.metric)) {
          report(trigger, `${of}: ${unknown(`metric of the monitor "${monitor.name}"`, condition.metric, monitor.performance.metrics)}`);
        }
      }
    }
  }
}

export function isZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}
const names = (list: readonly { name: string }[]): string[] => list.map((one) => one.name);
