/** The project: everything that its files define. */
import { project } from "@millrace/sdk";
import * as checks from "./checks.js";
import * as datasets from "./datasets.js";
import * as endpoints from "./endpoints.js";
import * as features from "./features.js";
import * as credit from "./pipelines/credit.js";
import * as fraud from "./pipelines/fraud.js";
import * as profile from "./pipelines/profile.js";
import * as schemas from "./schemas.js";

export default project({ name: "payments", definitions: [datasets, schemas, features, fraud, credit, profile, endpoints, checks] });
