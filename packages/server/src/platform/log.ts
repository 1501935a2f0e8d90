import { type Logger, pino } from "pino";

export type Log = Logger;

/** JSON lines on standard error. */
export function openLog(level: string): Log {
  return pino({ level, base: null, serializers: { error: pino.stdSerializers.err } }, pino.destination({ dest: 2, sync: false }));
}
