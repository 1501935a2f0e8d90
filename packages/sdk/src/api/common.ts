import { type Static, type TSchema, Type } from "@sinclair/typebox";

export const Time = Type.String({ format: "date-time" });
export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
export const Json = Type.Unknown();

/** Every error of the API. `code` is stable; `message` says what was wrong and what would be right. */
export const ApiErrorBody = Type.Object({ error: Type.Object({ code: Type.String(), message: Type.String(), details: Type.Optional(Json) }) });
export type ApiErrorBody = Static<typeof ApiErrorBody>;

/** `next` is given where more follows; pass it as `after`. */
export const Page = <T extends TSchema>(item: T) => Type.Object({ items: Type.Array(item), next: Type.Optional(Type.String()) });
export const PageQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
  after: Type.Optional(Type.String({ maxLength: 200 })),
});
