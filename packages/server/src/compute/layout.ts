/** Where things lie in a job's folder, wherever it runs: `_remote.py` follows the same rules. */
import path from "node:path";

const megabyte = 1024 ** 2;
export const limits = {
  /** Of all files of an output. */
  outputBytes: 20 * 1024 * megabyte,
  outputFiles: 10_000,
  jsonBytes: 16 * megabyte,
  /** Of all that the process says. */
  logBytes: 64 * megabyte,
  /** Of what the job's folder holds while it runs, beside what it was given. */
  folderBytes: 8 * 1024 * megabyte,
};

/** Where a process writes an output: a table one Parquet file or a folder of them, a model a file or a folder, a file itself or a folder with it, else JSON. */
export function outputPath(folder: string, name: string, type: string): string {
  switch (type) {
    case "table":
      return path.join(folder, `${name}.parquet`);
    case "model":
    case "file":
      return path.join(folder, name);
    default:
      return path.join(folder, `${name}.json`);
  }
}

/** Which files of an output count, or what is missing. */
export function chosen<F extends { path: string; size: number }>(name: string, type: string, files: F[]): F[] {
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  if (bytes > limits.outputBytes) throw new OutputError(`The output "${name}" has ${bytes} bytes: an output may have ${limits.outputBytes}.`);
  switch (type) {
    case "table": {
      const parts = files.filter((file) => file.path.endsWith(".parquet"));
      if (parts.length > 0) return parts;
      throw new OutputError(`The output "${name}" is missing: write Parquet to millrace.output("${name}"), one file or a folder of *.parquet files.`);
    }
    case "model":
      if (files.length > 0) return files;
      throw new OutputError(`The output "${name}" is missing: write the model's files to the folder millrace.output("${name}"), or one file there.`);
    case "file":
      if (files.length === 1) return files;
      throw new OutputError(
        files.length === 0
          ? `The output "${name}" is missing: write one file to millrace.output("${name}").`
          : `The output "${name}" is one file, and ${files.length} are there. Write an archive, or a model, which may be a folder.`,
      );
    default: {
      const file = files[0];
      if (file === undefined || files.length > 1) throw new OutputError(`The output "${name}" is missing: write one JSON file to millrace.output("${name}").`);
      if (file.size <= limits.jsonBytes) return files;
      throw new OutputError(`The output "${name}" has ${file.size} bytes: JSON outputs may have ${limits.jsonBytes}. Write a table instead.`);
    }
  }
}

/** A declared output is missing, or is not what its type says: the step's author must know. */
export class OutputError extends Error {
  override readonly name = "OutputError";
}

/** The command of a script of the project, or of `module:function`. */
export const pythonCommand = (script: string): string[] => ["{python}", "-u", "{step}", script];
