/** The process that opens a model and runs it once. What can't be opened is told by whoever opens it next; it is the end of this process that counts. */
import { measure } from "./cost.js";
import { openSession } from "./session.js";

const session = await openSession(process.env.MILLRACE_TRIAL ?? "", (process.env.MILLRACE_ONNX_PROVIDERS ?? "cpu").split(",")).catch(() => undefined);
if (session !== undefined) await measure(session);
