import { PredictionExplanation } from "@millrace/sdk/api";
import { Type } from "@sinclair/typebox";
import type { Http } from "../platform/index.js";
import type { Explanations } from "./types.js";

export function explanationRoutes(app: Http, explanations: Explanations): void {
  app.get(
    "/api/v1/predictions/:id/explanation",
    {
      config: { permission: "predictions:read" },
      schema: {
        tags: ["endpoints"],
        params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 300 }) }),
        querystring: Type.Object({ top: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })) }),
        response: { 200: PredictionExplanation },
      },
    },
    async ({ params, query }) => explanations.logged(params.id, query.top),
  );
}
