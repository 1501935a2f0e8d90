/** The project: everything that its files define. */
import { project } from "@millrace/sdk";
import * as datasets from "./datasets.js";
import * as endpoint from "./endpoint.js";
import * as features from "./features.js";
import * as pipelines from "./pipelines/delay.js";
import * as schemas from "./schemas.js";

export default project({ name: "flights", definitions: [datasets, schemas, features, pipelines, endpoint] });
