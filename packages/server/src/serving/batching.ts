import { type RunOptions, type ServedModel, type Tensor, type TensorData, zeros } from "../inference/index.js";
import { ApiError } from "../platform/index.js";

export interface BatchLimits {
  /** Rows that share a run; a single request may have more. */
  rows: number;
  /** Requests that wait for a run, and their rows. */
  waiting: number;
  waitingRows: number;
}
/** Of so many a run costs more than what it shares. */
const fewRows = 64;
const usual: BatchLimits = { rows: 4_096, waiting: 2_000, waitingRows: 200_000 };

interface Asked {
  inputs: readonly Tensor[];
  options: RunOptions | undefined;
  rows: number;
  done: (outputs: Tensor[]) => void;
  failed: (error: unknown) => void;
  /** It was answered: its deadline passed while it was waiting or was being run. */
  over: boolean;
}

/**
 * Requests that come to the model in the same turn of the event loop run through it together, and so do those that come while it runs: a run of few rows
 * costs mostly what any run costs. Nothing waits for others to come. Where a batch fails each of its requests runs alone, so that nobody pays for
 * another's rows. What finds the queue full is refused at once; what nobody waits for any more is not run.
 */
export function batched(model: ServedModel, limits: BatchLimits = usual): ServedModel {
  const mostRuns = model.runsAtOnce ?? 1;
  let waiting: Asked[] = [];
  let waitingRows = 0;
  let running = 0;
  let scheduled = false;
  let several = false;
  const underWay: (readonly Asked[])[] = [];
  let clock: { timer: NodeJS.Timeout; at: number } | undefined;
  let idle: (() => void)[] = [];

  function schedule(): void {
    if (scheduled || running >= mostRuns || waiting.length === 0) return;
    scheduled = true;
    // Where several ask at once for little, what came in this turn of the event loop is soon followed by more of it.
    if (several && waitingRows < fewRows) setImmediate(setImmediate, begin);
    else setImmediate(begin);
  }
  function begin(): void {
    scheduled = false;
    clear();
    while (running < mostRuns && waiting.length > 0) {
      const batch = take();
      several = batch.length > 1;
      running++;
      underWay.push(batch);
      void run(batch).finally(() => {
        running--;
        underWay.splice(underWay.indexOf(batch), 1);
        if (waiting.length > 0) schedule();
        else if (running === 0) settle();
      });
    }
    watchDeadlines();
    if (running === 0) settle();
  }
  function settle(): void {
    const told = idle;
    idle = [];
    for (const one of told) one();
  }

  /** Whoever no longer waits leaves the queue. */
  function clear(): void {
    const now = performance.now();
    let left = false;
    for (const one of waiting) {
      const { deadline, signal } = one.options ?? {};
      if (deadline !== undefined && deadline <= now) end(one, late());
      else if (signal?.aborted === true) end(one, gone());
      left ||= one.over;
    }
    if (!left) return;
    waiting = waiting.filter((one) => !one.over);
    waitingRows = waiting.reduce((sum, one) => sum + one.rows, 0);
  }
  function end(one: Asked, error: ApiError): void {
    one.over = true;
    one.failed(error);
  }
  /** The first that waits, and those that fit it, in their order. */
  function take(): Asked[] {
    const [first] = waiting;
    if (first === undefined) return [];
    if (waiting.length === 1 || !model.batches) {
      waiting.shift();
      waitingRows -= first.rows;
      return [first];
    }
    const batch: Asked[] = [];
    const rest: Asked[] = [];
    let rows = 0;
    const most = Math.min(limits.rows, model.rowsTogether ?? limits.rows);
    for (const one of waiting) {
      if (one === first || (rows + one.rows <= most && shareRun(first, one))) {
        batch.push(one);
        rows += one.rows;
      } else rest.push(one);
    }
    waiting = rest;
    waitingRows -= rows;
    return batch;
  }

  /** A run may take long: who has a deadline is answered when it comes. */
  function watchDeadlines(): void {
    let next = Number.POSITIVE_INFINITY;
    for (const batch of underWay) for (const one of batch) next = Math.min(next, one.over ? next : (one.options?.deadline ?? next));
    for (const one of waiting) next = Math.min(next, one.options?.deadline ?? next);
    if (next === Number.POSITIVE_INFINITY || (clock !== undefined && clock.at <= next)) return;
    clearTimeout(clock?.timer);
    const ring = () => {
      clock = undefined;
      const now = performance.now();
      for (const batch of underWay) for (const one of batch) if (!one.over && (one.options?.deadline ?? now + 1) <= now) end(one, late());
      clear();
      watchDeadlines();
    };
    clock = { at: next, timer: setTimeout(ring, Math.max(1, next - performance.now())).unref() };
  }

  async function run(batch: readonly Asked[]): Promise<void> {
    const [first] = batch;
    if (first === undefined) return;
    if (batch.length === 1) return alone(first);
    let parts: Tensor[][];
    try {
      const outputs = await model.run(together(batch), first.options?.outputs === undefined ? undefined : { outputs: first.options.outputs });
      parts = apart(outputs, batch);
    } catch {
      for (const one of batch) if (!one.over) await alone(one);
      return;
    }
    for (const [at, one] of batch.entries()) if (!one.over) one.done(parts[at] ?? []);
  }
  async function alone(one: Asked): Promise<void> {
    try {
      const outputs = await model.run(one.inputs, one.options);
      if (!one.over) one.done(outputs);
    } catch (error) {
      if (!one.over) one.failed(error);
    }
  }

  return {
    ...{ platform: model.platform, inputs: model.inputs, outputs: model.outputs, batches: model.batches },
    get bytes() {
      return model.bytes;
    },
    run(inputs, options) {
      if (options?.deadline !== undefined && options.deadline <= performance.now()) return Promise.reject(late());
      const rows = inputs[0]?.shape[0] ?? 1;
      const isFull = () => waiting.length >= limits.waiting || (waiting.length > 0 && waitingRows + rows > limits.waitingRows);
      if (isFull()) clear();
      if (isFull()) return Promise.reject(overloaded(waiting.length));
      return new Promise((done, failed) => {
        waiting.push({ inputs, options, rows, done, failed, over: false });
        waitingRows += rows;
        schedule();
        if (running > 0 && options?.deadline !== undefined) watchDeadlines();
      });
    },
    async close() {
      if (running > 0 || waiting.length > 0) await new Promise<void>((resolve) => idle.push(resolve));
      clearTimeout(clock?.timer);
      await model.close();
    },
  };
}

const overloaded = (waiting: number) =>
  new ApiError(429, "OVERLOADED", `The model has more to do than it can: ${waiting} requests wait for it. Send the request again in a moment.`);
const late = () => new ApiError(504, "DEADLINE_EXCEEDED", "The model did not answer within the time that the request gives it.");
const gone = () => new ApiError(499, "CANCELLED", "The client went away before the model was asked.");

function shareRun(a: Asked, b: Asked): boolean {
  if (a.inputs.length !== b.inputs.length || !sameNames(a.options?.outputs, b.options?.outputs)) return false;
  for (let i = 0; i < a.inputs.length; i++) {
    const [one, other] = [a.inputs[i], b.inputs[i]];
    if (one === undefined || other === undefined || one.name !== other.name || one.datatype !== other.datatype) return false;
    if (one.shape.length !== other.shape.length) return false;
    for (let at = 1; at < one.shape.length; at++) if (one.shape[at] !== other.shape[at]) return false;
    // What has no rows, or other numbers of them in its tensors, is the model's to refuse.
    if (other.shape[0] !== b.rows || one.shape[0] !== a.rows) return false;
  }
  return b.rows > 0 && a.rows > 0;
}
function sameNames(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && a.length === b.length && a.every((name, at) => name === b[at]));
}

/** The tensors of all, one below the other. */
function together(batch: readonly Asked[]): Tensor[] {
  const [first] = batch;
  if (first === undefined) return [];
  const rows = batch.reduce((sum, one) => sum + one.rows, 0);
  return first.inputs.map(({ name, datatype, shape }, at) => ({
    name,
    datatype,
    shape: [rows, ...shape.slice(1)],
    data: joined(
      datatype,
      batch.map((one) => one.inputs[at]?.data ?? []),
    ),
  }));
}
function joined(datatype: Tensor["datatype"], parts: readonly TensorData[]): TensorData {
  let length = 0;
  for (const part of parts) length += part.length;
  if (datatype === "BYTES") return parts.flatMap((part) => ("buffer" in part ? [] : part));
  const into = zeros(datatype, length);
  const bytes = new Uint8Array(into.buffer);
  let at = 0;
  for (const part of parts) {
    if (!("buffer" in part)) throw new TypeError(`Values of ${datatype} are no list.`);
    bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at);
    at += part.byteLength;
  }
  return into;
}

/** To each the rows of its own. */
function apart(outputs: readonly Tensor[], batch: readonly Asked[]): Tensor[][] {
  const rows = batch.reduce((sum, one) => sum + one.rows, 0);
  for (const { name, shape } of outputs)
    if (shape[0] !== rows) throw new Error(`the model's output "${name}" has the shape [${shape.join(", ")}] for ${rows} rows`);
  let from = 0;
  return batch.map((one) => {
    const to = from + one.rows;
    const own = outputs.map(({ name, datatype, shape, data }): Tensor => {
      const width = data.length / rows;
      return {
        name,
        datatype,
        shape: [one.rows, ...shape.slice(1)],
        data: "buffer" in data ? data.subarray(from * width, to * width) : data.slice(from * width, to * width),
      };
    });
    from = to;
    return own;
  });
}
