import { Lineage, LineageDirection } from "@millrace/sdk/api";
import { Type } from "@sinclair/typebox";
import type { Http } from "../platform/index.js";
import type { LineageService } from "./types.js";

export function lineageRoutes(app: Http, lineage: LineageService): void {
  app.get(
    "/api/v1/lineage/:kind/*",
    {
      config: { permission: "lineage:read" },
      schema: {
        tags: ["lineage"],
        params: Type.Object({ kind: Type.String({ maxLength: 40 }), "*": Type.String({ maxLength: 400 }) }),
        querystring: Type.Object({ direction: Type.Optional(LineageDirection) }),
        response: { 200: Lineage },
      },
    },
    async ({ params, query }) => lineage.lineage(params.kind, params["*"], query.direction ?? "back"),
  );
}
