/** The logic of the features that is more than a column, on flights whose arrival is known. */
import { DuckDBInstance } from "@duckdb/node-api";
import { expect, test } from "vitest";
import { landedAtSql } from "./features.js";

const flight = "timestamptz '2013-01-01 10:00:00+00' as time_hour, 15 as minute, 2 as dep_delay, 227 as air_time, 517 as dep_time, 830 as arr_time";

async function landed(changes: string): Promise<string> {
  const connection = await (await DuckDBInstance.create()).connect();
  await connection.run("set TimeZone = 'UTC'");
  const [row] = (
    await connection.runAndReadAll(`select (${landedAtSql})::timestamp::varchar as at from (select * replace (${changes}) from (select ${flight}))`)
  ).getRowObjectsJS();
  connection.closeSync();
  return String(row?.at);
}

test("a flight to Houston has landed at half past eight there, which is half past two in UTC", async () => {
  expect(await landed("15 as minute")).toBe("2013-01-01 14:30:00");
});

test("a flight that arrives after midnight has landed after it departed", async () => {
  // From JFK to Los Angeles: departed at 22:00, in the air for 340 minutes, there at 00:50 by the clock of the place.
  expect(
    await landed("timestamptz '2013-01-02 03:00:00+00' as time_hour, 0 as minute, 0 as dep_delay, 340 as air_time, 2200 as dep_time, 50 as arr_time"),
  ).toBe("2013-01-02 08:50:00");
});
