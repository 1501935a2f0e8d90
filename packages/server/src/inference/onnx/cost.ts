import { zeros } from "../datatypes.js";
import type { Tensor, TensorSpec } from "../types.js";
import type { Session } from "./session.js";

/** A run on the event loop holds up everything else for as long as it takes. */
const loopMs = 2;
/** What was measured on zeros may take several times as long on real values, and a machine that does other work misleads. */
const mostWrong = 8;
/** Of so many runs the shortest tells: where other threads want the same processor, the others waited. */
const judged = 8;
const learning = 0.3;

/** How long a model's runs take: a run of nothing, and each value of its inputs. */
export interface Measured {
  baseMs: number;
  valueMs: number;
  /** Outputs that had a row for each row of the inputs, whatever the model says of their shapes. */
  rowwise?: readonly string[];
}
export interface Cost {
  /** Whether a run of so many values is short enough for the event loop. */
  isShort(values: number): boolean;
  /** Values that a run on the event loop may have; 0 where it may have none. */
  mostShort(): number;
  /** Learns from a run. */
  took(values: number, ms: number): void;
}

/** What was not measured is long until runs show otherwise. */
export function costOf(measured: Measured | undefined): Cost {
  let known = measured;
  let factor = 1;
  let shortest = mostWrong;
  let seen = 0;
  const expected = ({ baseMs, valueMs }: Measured, values: number) => baseMs + valueMs * values;
  return {
    isShort: (values) => known !== undefined && expected(known, values) * factor <= loopMs,
    mostShort: () => (known === undefined ? 0 : Math.max(0, Math.floor((loopMs / factor - known.baseMs) / Math.max(known.valueMs, 1e-9)))),
    took(values, ms) {
      if (known === undefined) {
        known = { baseMs: 0, valueMs: ms / Math.max(1, values) };
        return;
      }
      shortest = Math.min(shortest, ms / expected(known, values));
      if (++seen < judged) return;
      factor += learning * (Math.max(1 / mostWrong, shortest) - factor);
      shortest = mostWrong;
      seen = 0;
    },
  };
}

export const valuesOf = (inputs: readonly Tensor[]): number => inputs.reduce((sum, { data }) => sum + data.length, 0);

const many = 32;
/** Runs the model on zeros, of one row and of several. Undefined where it takes no zeros. */
export async function measure(session: Session): Promise<Measured | undefined> {
  const timed = async (rows: number) => {
    const inputs = session.inputs.map((spec) => blank(spec, rows));
    const { ms, outputs } = await session.run(
      inputs,
      session.outputs.map(({ name }) => name),
    );
    return { values: valuesOf(inputs), ms, rowwise: outputs.flatMap(({ name, shape }) => (shape[0] === rows ? name : [])) };
  };
  try {
    const first = await timed(1);
    // The first run also makes what later ones find.
    const one = first.ms > loopMs * mostWrong ? first : await timed(1);
    if (one.ms > loopMs) return { baseMs: one.ms, valueMs: 0 };
    const several = await timed(many).catch(() => one);
    const valueMs = Math.max(0, several.ms - one.ms) / Math.max(1, several.values - one.values);
    return { baseMs: one.ms, valueMs, rowwise: several === one ? [] : several.rowwise };
  } catch {
    return undefined;
  }
}
function blank({ name, datatype, shape }: TensorSpec, rows: number): Tensor {
  const dims = shape.map((size, at) => (size >= 0 ? size : at === 0 ? rows : 1));
  const length = dims.reduce((product, size) => product * size, 1);
  return { name, datatype, shape: dims, data: datatype === "BYTES" ? new Array<string>(length).fill("") : zeros(datatype, length) };
}
