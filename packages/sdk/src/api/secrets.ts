import { type Static, Type } from "@sinclair/typebox";
import { Time } from "./common.js";

/** As the environment variable that a step finds it in. */
export const SecretName = Type.String({ pattern: "^[A-Z][A-Z0-9_]{0,99}$" });
/** Its value is never answered. */
export const Secret = Type.Object({ name: SecretName, setBy: Type.String(), setAt: Time });
export type Secret = Static<typeof Secret>;
export const SecretValue = Type.Object({ value: Type.String({ minLength: 1, maxLength: 65_536 }) });
export type SecretValue = Static<typeof SecretValue>;
