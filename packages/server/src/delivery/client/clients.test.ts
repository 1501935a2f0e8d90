/** What is signed here is verified by the tools of others, as they come. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type RunningServer, startServer } from "../../server.js";
import { clientPython } from "../../tracking/testing.js";
import { commitAll, millrace, registerShade, shadeRepository } from "../testing.js";

const scripts = fileURLToPath(new URL(".", import.meta.url));
const lock = fileURLToPath(new URL("../../../../../package-lock.json", import.meta.url));
let folder: string;
let server: RunningServer;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-signed-"));
  server = await startServer({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" }, logLevel: "error" });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

it("model_signing verifies a model and is verified, and an SBOM of npm and Python fits CycloneDX's schema", { timeout: 600_000 }, async () => {
  const run = (...args: string[]) => millrace(args, { cwd: folder, url: server.url });
  const project = path.join(folder, "shades");
  await shadeRepository(project);
  await writeFile(path.join(project, "package-lock.json"), await readFile(lock));
  await commitAll(project, "With npm's lock file");
  expect(await run("release", "key", "release.pem", "--kind", "p256")).toMatchObject({ code: 0 });
  expect(await run("release", "shades", "--key", "release.pem", "--output", "release")).toMatchObject({ code: 0 });
  const version = await registerShade(server.url, "columns");
  expect(await run("sign", `shade/${version}`, "--key", "release.pem", "--output", "model")).toMatchObject({ code: 0 });

  const python = await clientPython(path.join(scripts, "requirements.lock"), folder);
  const ask = (...args: string[]) =>
    promisify(execFile)(python, args, { cwd: folder }).then(
      ({ stdout }) => stdout.trim(),
      (error: Error & { stderr?: string; stdout?: string }) => `${error.stdout}${error.stderr}`,
    );
  expect(await ask(path.join(scripts, "user.py"), "release/sbom.cdx.json")).toBe("valid");
  const byCommand = ["-m", "model_signing", "verify", "key", "model", "--signature", "model/model.sig", "--public_key", "release.pem.pub"];
  expect(await ask(...byCommand)).toContain("Verification succeeded");
  // What it signs is verified here.
  const signed = ["-m", "model_signing", "sign", "key", "model", "--private_key", "release.pem", "--signature", "model/model.sig"];
  await rm(path.join(folder, "model/model.sig"));
  expect(await ask(...signed)).toContain("Signing succeeded");
  expect(await run("verify", "model", "--key", "release.pem.pub")).toMatchObject({ code: 0 });
  await writeFile(path.join(folder, "model/model.onnx"), "another");
  expect(await ask(...byCommand)).toContain("Verification failed");

  const sbom = JSON.parse(await readFile(path.join(folder, "release/sbom.cdx.json"), "utf8")) as {
    components: { purl: string; hashes?: unknown[] }[];
    dependencies: { ref: string; dependsOn: string[] }[];
  };
  const purls = sbom.components.map(({ purl }) => purl);
  expect(purls).toContainEqual(expect.stringMatching(/^pkg:npm\/%40sinclair\/typebox@0\./));
  expect(purls).toContainEqual(expect.stringMatching(/^pkg:pypi\/numpy@/));
  expect(sbom.dependencies.find(({ ref }) => ref.startsWith("pkg:npm/fastify@"))?.dependsOn).toContainEqual(expect.stringMatching(/^pkg:npm\/pino@/));
});
