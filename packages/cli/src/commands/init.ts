import { cp, mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { CliError, exit } from "../errors.js";
import { print } from "../output.js";
import { sdkTypes } from "../project/tsconfig.js";

const template = fileURLToPath(new URL("../../template/", import.meta.url));

/** A new folder with a small project: a dataset with two files, a schema, features, a pipeline that trains, an endpoint, a trigger; and what CI makes of it. */
export async function init(given: string): Promise<void> {
  const folder = path.resolve(given);
  const name = path.basename(folder).replaceAll(/[^a-zA-Z0-9_-]/g, "-");
  if (!/^[a-zA-Z][a-zA-Z0-9_-]{0,99}$/.test(name))
    throw new CliError(`"${path.basename(folder)}" can't name a project: begin the folder's name with a letter.`, exit.usage);
  await mkdir(folder, { recursive: true });
  if ((await readdir(folder)).length > 0) throw new CliError(`${given} is not empty. Name a folder that is, or is not there yet.`, exit.usage);

  await cp(template, folder, { recursive: true });
  // A .gitignore in the template would be one for the template.
  for (const name of ["gitignore", "github", "gitlab-ci.yml"]) await rename(path.join(folder, name), path.join(folder, `.${name}`));
  const entry = path.join(folder, "millrace.ts");
  await writeFile(entry, (await readFile(entry, "utf8")).replace("PROJECT_NAME", name));
  await writeFile(path.join(folder, "package.json"), `${JSON.stringify({ name: name.toLowerCase(), private: true, type: "module" }, null, 2)}\n`);
  await writeFile(path.join(folder, "tsconfig.json"), `${JSON.stringify(tsconfig(folder), null, 2)}\n`);

  const place = path.relative(process.cwd(), folder) || ".";
  print(`A project is in ${place}. What comes next:

  millrace check ${place}
  millrace up                       in a terminal of its own
  millrace apply ${place}
  millrace run late --wait
  millrace predict late --json '{"ordered_at": "2024-03-01T16:30:00Z", "city": "Oslo", "km": 12.5, "items": 3}'`);
}

function tsconfig(folder: string): object {
  return {
    compilerOptions: {
      target: "es2023",
      module: "nodenext",
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      skipLibCheck: true,
      types: [],
      paths: { "@millrace/sdk": [path.relative(folder, sdkTypes).split(path.sep).join("/")] },
    },
    include: ["**/*.ts"],
  };
}
