import { type Static, Type } from "@sinclair/typebox";
import { closed, Name } from "./common.js";

const Text = Type.String({ minLength: 1, maxLength: 10_000 });
/** What of a registered model no run can know: the rest of its card is made from what is there. */
export const ModelCardSpec = Type.Object(
  {
    /** The registered model. */
    name: Name,
    summary: Type.Optional(Text),
    /** Who answers for it, and how they are reached. */
    owner: Type.Optional(Type.String({ minLength: 1, maxLength: 500 })),
    /** As Hugging Face names licenses: `apache-2.0`, `mit`; any other text is a license's name. */
    license: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
    /** ISO 639 codes, where the model takes texts. */
    languages: Type.Optional(Type.Array(Type.String({ pattern: "^[a-z]{2,3}$" }), { maxItems: 200 })),
    tags: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 100 }), { maxItems: 50 })),
    intendedUse: Type.Optional(Text),
    outOfScopeUse: Type.Optional(Text),
    limitations: Type.Optional(Type.Array(Text, { minItems: 1, maxItems: 100 })),
    /** What whoever uses it should do about its limits. */
    recommendations: Type.Optional(Text),
    /** Papers, pages, tickets. */
    references: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 2_000 }), { maxItems: 100 })),
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type ModelCardSpec = Static<typeof ModelCardSpec>;
