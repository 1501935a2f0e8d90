/** In a thread: sessions of ONNX Runtime, whose loading and runs block nobody but each other. */
import { parentPort } from "node:worker_threads";
import { measure } from "./cost.js";
import { openSession, type Session } from "./session.js";
import type { FromThread, ToThread } from "./threads.js";

const sessions = new Map<number, Session>();
const tell = (said: FromThread, moved: ArrayBuffer[] = []) => parentPort?.postMessage(said, moved);

async function answer(asked: ToThread): Promise<void> {
  const { id, model } = asked;
  if (asked.kind === "open") {
    const session = await openSession(asked.file, asked.providers);
    sessions.set(model, session);
    const { inputs, outputs } = session;
    return tell({ id, kind: "opened", inputs, outputs, measured: await measure(session) });
  }
  const session = sessions.get(model);
  if (session === undefined) throw new Error("the model is not open in this thread");
  if (asked.kind === "close") {
    sessions.delete(model);
    await session.release();
    return tell({ id, kind: "closed" });
  }
  const { outputs: found, ms } = await session.run(asked.inputs, asked.outputs);
  // The runtime's own memory can't be moved to another thread.
  const outputs = found.map((tensor) => ("buffer" in tensor.data ? { ...tensor, data: tensor.data.slice() } : tensor));
  tell(
    { id, kind: "ran", outputs, ms },
    outputs.flatMap(({ data }) => ("buffer" in data && data.buffer instanceof ArrayBuffer ? data.buffer : [])),
  );
}

parentPort?.on("message", (asked: ToThread) => {
  answer(asked).catch((error: unknown) => tell({ id: asked.id, kind: "failed", message: error instanceof Error ? error.message : String(error) }));
});
