/**
 * Ends what this process started when this process is gone, however it ended: SIGKILL leaves nobody to do it, and no timer can be trusted then. One shell for
 * all processes reads which groups there are; when its input ends it kills those that are left.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import type { Writable } from "node:stream";

/** In the environment of all that this process starts, so that what left its group can be found (on Linux). */
export const marker = "MILLRACE_PROCESS";
export const owner = randomUUID();

const script = `
trap '' HUP INT TERM
groups=" "
while read -r sign group; do
  case "$sign" in
    +) groups="$groups$group " ;;
    -) groups="\${groups%% $group *} \${groups#* $group }" ;;
  esac
done
for group in $groups; do kill -KILL -- "-$group" 2>/dev/null; done
[ -d /proc/self ] || exit 0
for again in 1 2; do
  for file in $(grep -las "${marker}=$1" /proc/[0-9]*/environ); do
    process=\${file#/proc/}
    [ "\${process%/environ}" = "$$" ] || kill -KILL "\${process%/environ}" 2>/dev/null
  done
done`;

const groups = new Set<number>();
let guard: ChildProcessByStdio<Writable, null, null> | undefined;

/** From now on the group ends with this process. */
export function guardGroup(group: number): void {
  if (process.platform === "win32") return;
  groups.add(group);
  if (guard === undefined) start();
  else guard.stdin.write(`+ ${group}\n`);
}

export function releaseGroup(group: number): void {
  if (groups.delete(group)) guard?.stdin.write(`- ${group}\n`);
}

function start(): void {
  // A session of its own: what ends a terminal's processes leaves it alone.
  const started = spawn("/bin/sh", ["-c", script, "millrace-guard", owner], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
    env: { PATH: process.env.PATH },
  });
  guard = started;
  started.stdin.on("error", () => {});
  const gone = () => {
    if (guard !== started) return;
    guard = undefined;
    if (groups.size > 0) setTimeout(() => guard ?? start(), 1_000).unref();
  };
  started.once("error", gone);
  started.once("exit", gone);
  // It waits for this process, not this process for it.
  started.unref();
  if ("unref" in started.stdin && typeof started.stdin.unref === "function") started.stdin.unref();
  for (const group of groups) started.stdin.write(`+ ${group}\n`);
}
