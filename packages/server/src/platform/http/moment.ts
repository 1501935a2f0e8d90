import type { FastifyInstance } from "fastify";
import type { Clock } from "../clock.js";
import { invalid } from "../errors.js";

declare module "fastify" {
  interface FastifyRequest {
    /** When the request is made, by the platform's clock. Where time is replayed, a request may bring its own in `millrace-time`. */
    readonly moment: Date;
  }
}

export function decorateMoment(app: Pick<FastifyInstance, "decorateRequest">, clock: Clock): void {
  app.decorateRequest("moment", {
    getter() {
      const told = this.headers["millrace-time"];
      if (told === undefined) return clock.now();
      if (clock.kind !== "replay") throw invalid("The header millrace-time is for replayed time; this server runs on the machine's clock.");
      const moment = new Date(String(told));
      if (Number.isNaN(moment.getTime()))
        throw invalid(`The header millrace-time is not a time: "${String(told).slice(0, 40)}". Write it as 2013-03-01T12:00:00Z.`);
      return moment;
    },
  });
}
