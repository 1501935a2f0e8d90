/** Where experiments, runs and models are brought from. Records come in pages, with the source's own ids; nothing of it is changed. */
import type { Readable } from "node:stream";
import type { MovedAlias, MovedExperiment, MovedFile, MovedLoggedModel, MovedModel, MovedRun, MovedSeries, MovedVersion } from "@millrace/sdk/api";

export interface Source {
  /** As `MLflow 3.17.2 in mlflow.db`. */
  readonly title: string;
  counts(): Promise<Counts>;
  /** What there is that is not brought, as `120 traces`. */
  leftOut(): Promise<string[]>;
  experiments(): AsyncIterable<SourceExperiment[]>;
  runs(): AsyncIterable<SourceRun[]>;
  /** Every point of the given runs, a limited number at a time. */
  series(runs: SourceRun[]): AsyncIterable<MovedSeries[]>;
  loggedModels(): AsyncIterable<SourceLoggedModel[]>;
  models(): AsyncIterable<MovedModel[]>;
  /** Those that others were copied from come first. */
  versions(): AsyncIterable<MovedVersion[]>;
  aliases(): AsyncIterable<MovedAlias[]>;
  /** What is kept under a digest, where the source names files by theirs. */
  openObject?: (digest: string) => Promise<Readable>;
  close(): Promise<void>;
}
export interface Counts {
  experiments: number;
  runs: number;
  /** Undefined where the source can't tell. */
  points: number | undefined;
  loggedModels: number;
  models: number;
  versions: number;
}
export type SourceExperiment = MovedExperiment & { artifactLocation: string };
export interface SourceRun extends MovedRun {
  /** Where the source keeps its files. */
  artifactUri: string;
  /** Changes when the run's points do. */
  points: string;
  files: FileFinder;
}
export interface SourceLoggedModel extends MovedLoggedModel {
  artifactUri: string;
  files: FileFinder;
}

/** Looks what files there are when it is called. Throws an Unreachable where they can't be had. */
export type FileFinder = () => Promise<SourceFile[]>;
export interface SourceFile {
  /** Relative to the run's or the model's folder. */
  path: string;
  size: number;
  /** Where the source knows it. */
  digest?: MovedFile["digest"];
  open(): Promise<Readable>;
}
/** Files that are told as left out. `where` says for how many at once: it is told once. */
export class Unreachable extends Error {
  override readonly name = "Unreachable";
  constructor(
    readonly where: string,
    readonly why: string,
  ) {
    super(`${where}: ${why}`);
  }
}

/** Points in the order in which they come, gathered by run and metric, a limited number at a time. */
export function seriesGatherer(most: number) {
  let gathered = new Map<string, MovedSeries>();
  let points = 0;
  return {
    /** Answers what was gathered when it is enough. */
    add(run: string, key: string, step: number, time: number, value: number): MovedSeries[] | undefined {
      const name = `${run}\n${key}`;
      let series = gathered.get(name);
      if (series === undefined) {
        series = { run, key, step: [], time: [], value: [] };
        gathered.set(name, series);
      }
      series.step.push(step);
      series.time.push(Math.max(0, time));
      series.value.push(jsonNumber(value));
      points++;
      return points >= most || gathered.size >= mostSeries ? this.rest() : undefined;
    },
    rest(): MovedSeries[] {
      const all = [...gathered.values()];
      gathered = new Map();
      points = 0;
      return all;
    },
  };
}
const mostSeries = 1_000;
export const pointsAtOnce = 20_000;

export function jsonNumber(value: number): MovedSeries["value"][number] {
  if (Number.isFinite(value)) return value;
  return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}
