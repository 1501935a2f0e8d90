/** A SQL string literal. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
/** A quoted SQL identifier. */
export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;
/**
 * `read_parquet` over files of this machine, in order. A column that not all of them have is null in the others, and one whose types differ has the
 * type that holds them all.
 */
export const parquet = (paths: readonly string[]): string =>
  `read_parquet([${paths.map(literal).join(", ")}]${paths.length > 1 ? ", union_by_name = true" : ""})`;
