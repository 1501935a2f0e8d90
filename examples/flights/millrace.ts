/** The project: everything that its files define. */
import { project } from "@millrace/sdk";
import * as checks from "./checks.js";
import * as datasets from "./datasets.js";
import * as endpoint from "./endpoint.js";
import * as features from "./features.js";
import * as delay from "./pipelines/delay.js";
import * as lateness from "./pipelines/lateness.js";
import * as schemas from "./schemas.js";
import * as sweeps from "./sweeps.js";

export default project({ name: "flights", definitions: [datasets, schemas, features, delay, lateness, sweeps, endpoint, checks] });
