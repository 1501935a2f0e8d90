// Writes the published JSON Schema of a project's document, from the types that the server checks with. Build first.
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { projectSchema } from "../packages/sdk/dist/spec.js";

writeFileSync(fileURLToPath(new URL("../packages/sdk/schema/project-v1.json", import.meta.url)), `${JSON.stringify(projectSchema(), null, 1)}\n`);
