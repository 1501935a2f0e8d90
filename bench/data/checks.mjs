/** Checks of the flights that three tools make: in a form of their own, and as a schema of Millrace. Beside them, some that the flights do not pass. */
const carriers = ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"];
const ranges = {
  year: [2013, 2013],
  month: [1, 12],
  day: [1, 31],
  dep_time: [1, 2400],
  sched_dep_time: [0, 2359],
  dep_delay: [-60, 3000],
  arr_time: [1, 2400],
  sched_arr_time: [0, 2359],
  arr_delay: [-120, 3000],
  flight: [1, 9999],
  air_time: [10, 800],
  distance: [10, 5000],
};

/** 40 checks, each `{column, kind, value}`. The strict ones ask more of every column than it has. */
export function checks(strict = false) {
  const numbers = Object.entries(ranges).flatMap(([column, [min, max]]) => [
    { column, kind: "null_share", value: strict ? 0 : 0.2 },
    { column, kind: "min", value: strict ? min + 20 : min },
    { column, kind: "max", value: strict ? Math.floor(max / 2) : max },
  ]);
  return [
    ...numbers,
    { column: "carrier", kind: "null_share", value: 0 },
    { column: "carrier", kind: "domain", value: strict ? carriers.slice(1) : carriers },
    { column: "origin", kind: "domain", value: strict ? ["EWR", "JFK"] : ["EWR", "JFK", "LGA"] },
    { column: "dest", kind: "min_length", value: strict ? 4 : 3 },
  ];
}

export function schema(strict = false) {
  const columns = {};
  const keys = { null_share: "maxNullShare", min: "min", max: "max", domain: "domain", min_length: "minLength" };
  for (const { column, kind, value } of checks(strict)) {
    columns[column] ??= { type: ranges[column] === undefined ? "string" : "int64" };
    columns[column][keys[kind]] = value;
  }
  return { name: "flights", unexpectedColumns: "allow", columns };
}

/** Which of the checks a report says to hold, in their order. */
export function verdicts(report, strict) {
  return checks(strict).map(({ column, kind }) => {
    const [told, which] = { min: ["range", 0], max: ["range", 1], min_length: ["length", 0] }[kind] ?? [kind, 0];
    const found = report.checks.filter((one) => one.column === column && one.kind === told)[which];
    if (found === undefined)
      throw new Error(`The report has no check ${told} of ${column}: ${JSON.stringify(report.checks.filter((one) => one.column === column))}`);
    return found.passed;
  });
}
