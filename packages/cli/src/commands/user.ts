import { addUser as add, type Role, roles } from "@millrace/server";
import { exit } from "../errors.js";
import { print, printJson, tell } from "../output.js";
import { dataConfig, whyNot } from "./up.js";

export interface AddUserOptions {
  role: string;
  dataDir: string;
  json?: boolean;
}

export async function addUser(name: string, options: AddUserOptions): Promise<void> {
  const role = roles.find((one): one is Role => one === options.role) ?? "viewer";
  const config = dataConfig(options.dataDir);
  const token = await add(config, name, role).catch((error: unknown) => {
    tell(whyNot(error, config));
    process.exit(exit.failed);
  });
  if (options.json) printJson({ name, role, token });
  else print(`${name} is added as ${role}. The token is shown this once; use it as MILLRACE_TOKEN:\n${token}`);
}
