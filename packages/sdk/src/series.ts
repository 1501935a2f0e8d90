/** Metrics as charts show them: many series at once, thinned so that no spike is lost. */
import { type Static, Type } from "@sinclair/typebox";

const Runs = Type.Array(Type.String({ minLength: 1, maxLength: 100 }), { minItems: 1, maxItems: 500 });
export const RunsQuery = Type.Object({ runs: Runs });
export const MetricKeys = Type.Object({
  /** By name, 2,000 at most. */
  items: Type.Array(Type.Object({ key: Type.String(), runs: Type.Integer() })),
  more: Type.Boolean(),
});
export type MetricKeys = Static<typeof MetricKeys>;

export const SeriesQuery = Type.Object({
  runs: Runs,
  keys: Type.Array(Type.String({ minLength: 1, maxLength: 250 }), { minItems: 1, maxItems: 50 }),
  /** Steps, milliseconds since 1970, or milliseconds since each run's start. */
  x: Type.Optional(Type.Union([Type.Literal("step"), Type.Literal("time"), Type.Literal("relative")])),
  /** Of x, both inclusive. */
  from: Type.Optional(Type.Number()),
  to: Type.Optional(Type.Number()),
  /** At most so many values of a series. */
  buckets: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_000 })),
});
export type SeriesQuery = Static<typeof SeriesQuery>;
/**
 * One run's values of one metric in order of x. A series of more points than buckets is told by bucket: `x` and `value` are the means of the points
 * in a stretch of equal length, `min` and `max` their extremes. Otherwise each point is told, without `min` and `max`.
 */
export const MetricSeries = Type.Object({
  run: Type.String(),
  key: Type.String(),
  /** Finite ones, from `from` to `to`. */
  points: Type.Integer(),
  x: Type.Array(Type.Number()),
  value: Type.Array(Type.Number()),
  min: Type.Optional(Type.Array(Type.Number())),
  max: Type.Optional(Type.Array(Type.Number())),
  /** Values that are no finite numbers: how many, and where the first 100 of them are. */
  odd: Type.Optional(
    Type.Object({
      count: Type.Integer(),
      first: Type.Array(Type.Object({ x: Type.Number(), value: Type.Union([Type.Literal("NaN"), Type.Literal("Infinity"), Type.Literal("-Infinity")]) })),
    }),
  ),
});
export type MetricSeries = Static<typeof MetricSeries>;
/** `items` has a series for each run and key that has points; `range` is that of x over all of them, null where there is none. */
export const SeriesAnswer = Type.Object({
  items: Type.Array(MetricSeries),
  range: Type.Union([Type.Object({ from: Type.Number(), to: Type.Number() }), Type.Null()]),
});
export type SeriesAnswer = Static<typeof SeriesAnswer>;
