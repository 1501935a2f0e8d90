/** What processes of steps have of the server that starts them. */

/** The folder that holds the package `millrace`. */
export const helpers = new URL("../../../../python/", import.meta.url);
/** What the server knows and a step has no business with. */
const withheld = /^(DATABASE_URL|PG[A-Z]+|MILLRACE_.*|DBOS_.*)$/;

export function stepEnvironment(): Record<string, string> {
  return Object.fromEntries(Object.entries(process.env).flatMap(([name, value]) => (value === undefined || withheld.test(name) ? [] : [[name, value]])));
}
