import { ModelCard, ModelCardFormat } from "@millrace/sdk/api";
import { Type } from "@sinclair/typebox";
import type { Http } from "../platform/index.js";
import { htmlCard } from "./html.js";
import { markdownCard } from "./markdown.js";
import type { Cards } from "./types.js";

export function cardRoutes(app: Http, cards: Cards): void {
  app.get(
    "/api/v1/models/:name/versions/:version/card",
    {
      config: { permission: "models:read" },
      schema: {
        tags: ["models"],
        params: Type.Object({ name: Type.String({ maxLength: 256 }), version: Type.Integer({ minimum: 1, maximum: 2_000_000_000 }) }),
        querystring: Type.Object({ format: Type.Optional(ModelCardFormat) }),
        response: { 200: Type.Union([ModelCard, Type.String()]) },
      },
    },
    async ({ params, query }, reply) => {
      const gathered = await cards.card(params.name, params.version);
      if (query.format === "json") return gathered.card;
      if (query.format === "html") {
        // It speaks in the words of whoever wrote names, tags and texts: nothing of it may do anything in the server's name.
        void reply.header(
          "content-security-policy",
          "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; sandbox allow-popups",
        );
        return reply.type("text/html; charset=utf-8").send(htmlCard(gathered));
      }
      return reply.type("text/markdown; charset=utf-8").send(markdownCard(gathered));
    },
  );
}
