// The server's modules and those they load at a start, in few files: read one by one, two thousand files take most of a start's time.
import { readFile, rm } from "node:fs/promises";
import path from "node:path";
import { build } from "esbuild";

/** Native, or read by an optional part only. */
const external = ["onnxruntime-node", "@aws-sdk/*", "@redis/client", "pg-native"];

/** Into `dist/bundled` of the server, from what the compiler wrote. Threads and the processes of steps go on with their own few files of `dist`. */
export async function bundleServer(root) {
  const dist = path.join(root, "packages/server/dist");
  const sdk = path.join(root, "packages/sdk/dist");
  const outdir = path.join(dist, "bundled");
  await rm(outdir, { recursive: true, force: true });
  await build({
    entryPoints: [path.join(dist, "server.js"), path.join(dist, "serving-process.js")],
    outdir,
    bundle: true,
    splitting: true,
    platform: "node",
    format: "esm",
    target: "node20.19",
    external,
    sourcemap: true,
    // The packages lie beside it, with their licences.
    legalComments: "none",
    logLevel: "warning",
    // What packages in CommonJS ask for.
    banner: { js: 'import { createRequire as bundledRequire } from "node:module";\nconst require = bundledRequire(import.meta.url);' },
    plugins: [laterFromPackages, ownPlaces([dist, sdk], outdir)],
  });
}

/** What is loaded when it is needed comes from its package: a bundled one that is CommonJS would have no named exports there. */
const laterFromPackages = {
  name: "later-from-packages",
  setup({ onResolve }) {
    onResolve({ filter: /^[^.]/ }, ({ path: name, kind }) =>
      kind === "dynamic-import" && !path.isAbsolute(name) ? { path: name, external: true } : undefined,
    );
  },
};

/**
 * A module that finds files, threads and programs beside itself finds them where it was. What lies at the top of `dist` starts entries of the bundle, which
 * are beside it.
 */
function ownPlaces(folders, outdir) {
  return {
    name: "own-places",
    setup({ onLoad }) {
      onLoad({ filter: /\.js$/ }, async ({ path: file }) => {
        if (folders.includes(path.dirname(file)) || !folders.some((folder) => file.startsWith(folder + path.sep))) return undefined;
        const text = await readFile(file, "utf8");
        if (!text.includes("import.meta.url")) return undefined;
        const place = path.relative(outdir, file).replaceAll(path.sep, "/");
        return { contents: text.replaceAll("import.meta.url", `new URL(${JSON.stringify(place)}, import.meta.url).href`) };
      });
    },
  };
}
