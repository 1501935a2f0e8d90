import { expect, test } from "vitest";
import { createPatience } from "./patience.js";

test("who is sent away again and again is asked to stay away longer, so that seven attempts last a minute, and afterwards it begins anew", () => {
  let at = 100;
  const patience = createPatience(() => at);
  const told: number[] = [];
  for (let attempt = 0; attempt < 7; attempt++) {
    told.push(patience());
    at += told.at(-1) ?? 0;
  }
  expect(told).toEqual([1, 1, 2, 4, 8, 16, 30]);
  // Others who come at the same time are told the same.
  expect([patience(), patience()]).toEqual([30, 30]);
  at += 62;
  expect(patience()).toBe(1);
});
