import { describe, expect, it } from "vitest";
import { scan } from "./scan.js";

/** The JSON with the lists put back. */
function whole(text: string): unknown {
  const body = Buffer.from(text);
  const found = scan(body, body.length);
  if (found === undefined) return undefined;
  const json = JSON.parse(found.text) as { inputs: { data?: unknown }[] };
  for (const input of json.inputs) {
    const place = typeof input.data === "number" ? found.lists[input.data] : undefined;
    if (place !== undefined) input.data = JSON.parse(body.toString("utf8", place.from, place.to));
  }
  return json;
}
const input = (data: unknown, more = {}) => ({ name: "größe", shape: [2, 2], datatype: "FP32", data, ...more });

describe("the JSON of a request", () => {
  it("is what it was, with its lists left where they lie", () => {
    for (const body of [
      { id: "a", inputs: [input([1, 2, 3, 4]), input([[1], [2]]), input(["a]", 'b"[']), input([]), { name: "none" }], outputs: [{ name: "x", data: [1] }] },
      { inputs: [input([1], { parameters: { data: [1, 2], deep: [{ data: [3] }] } })], parameters: { inputs: [{ data: [5] }] } },
      { data: [9], inputs: [input([1.5])] },
    ]) {
      const texts = [JSON.stringify(body), JSON.stringify(body, null, 2)].filter((text) => !text.includes("\\"));
      for (const text of texts) expect(whole(text)).toEqual(body);
    }
    expect(whole('{"inputs":[{"data":[1],"data":[2]}]}')).toEqual({ inputs: [{ data: [2] }] });
    expect(scan(Buffer.from('{"inputs":[{"data":[1,2]}],"data":[3]}'), 38)).toEqual({
      text: '{"inputs":[{"data":0}],"data":[3]}',
      lists: [{ from: 19, to: 24 }],
    });
  });

  it("is left to others where a name may be another one, data are no list, or nothing ends", () => {
    for (const text of [
      '{"inputs":[{"d\\u0061ta":0,"data":[1]}]}',
      '{"inputs":[{"data":0}]}',
      '{"inputs":[{"data": "x"}]}',
      '{"inputs":[{"data":[1',
      '{"inputs":[{"data":["a',
      '{"inputs',
      `{"inputs":[{"data":${"[".repeat(50)}${"]".repeat(50)}}]}`,
      "[".repeat(100_000),
    ])
      expect([text.slice(0, 60), scan(Buffer.from(text), Buffer.byteLength(text))]).toEqual([text.slice(0, 60), undefined]);
  });
});
