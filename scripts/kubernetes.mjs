// `npm run test:kubernetes`: steps on a real control plane of Kubernetes (etcd, API server, scheduler, controller manager; the kubelet is a stand-in). Builds it once,
// with Go, into .millrace/kube: that takes ten minutes or more.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root, setup } from "./setup.mjs";

const version = "1.31.4";
const programs = {
  "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
  "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
  "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
  etcd: "go.etcd.io/etcd/server/v3",
};
setup();
const binaries = path.join(root, ".millrace", "kube");
const missing = Object.entries(programs).filter(([name]) => !existsSync(path.join(binaries, name)));
if (missing.length > 0) build(missing);
const { status } = spawnSync(path.join(root, "node_modules/.bin/vitest"), ["run", "--config", "vitest.clusters.config.ts", "kubernetes"], {
  cwd: root,
  stdio: "inherit",
});
process.exit(status ?? 1);

/** In a module that holds nothing of its own: Kubernetes' go.mod names its parts as v0.0.0, and each wants to be told its real version. */
function build(wanted) {
  const source = path.join(root, ".millrace", "kube-src");
  mkdirSync(source, { recursive: true });
  mkdirSync(binaries, { recursive: true });
  const go = (args) =>
    execFileSync("go", args, { cwd: source, env: { ...process.env, GOFLAGS: "-mod=mod", CGO_ENABLED: "0" }, stdio: ["ignore", "pipe", 2], encoding: "utf8" });
  process.stderr.write(`Building Kubernetes ${version} into .millrace/kube\n`);
  writeFileSync(path.join(source, "go.mod"), "module kube\n");
  const { GoMod } = JSON.parse(go(["mod", "download", "-json", `k8s.io/kubernetes@v${version}`]));
  const module = readFileSync(GoMod, "utf8");
  const parts = [...new Set([...module.matchAll(/^\s*(k8s\.io\/[\w-]+) v0\.0\.0$/gm)].map(([, name]) => name))];
  const [, language] = /^go (.*)$/m.exec(module) ?? [];
  const replaced = parts.map((name) => `\t${name} => ${name} v0.${version.slice(2)}\n`).join("");
  writeFileSync(path.join(source, "go.mod"), `module kube\n\ngo ${language}\n\nrequire k8s.io/kubernetes v${version}\n\nreplace (\n${replaced})\n`);
  const imports = Object.values(programs).map((name) => `\t_ "${name}"\n`);
  writeFileSync(path.join(source, "tools.go"), `//go:build tools\n\npackage tools\n\nimport (\n${imports.join("")})\n`);
  // Tests of what these need may want what is nowhere to be had: that is no matter.
  go(["mod", "tidy", "-e"]);
  const base = "k8s.io/component-base/version";
  const flags = `-s -w -X ${base}.gitVersion=v${version} -X ${base}.gitMajor=1 -X ${base}.gitMinor=${version.split(".")[1]}`;
  for (const [name, from] of wanted) {
    process.stderr.write(`Building ${name}\n`);
    go(["build", "-p", "2", "-ldflags", flags, "-o", path.join(binaries, name), from]);
  }
}
