/** Which version a key is answered by. A key is a number in [0, 1); each version has slots of that line. */

/** From inclusive, to exclusive, of the line from 0 to 1. What is in no slot is the stable version's. */
export interface Slot {
  version: number;
  from: number;
  to: number;
}
export interface Share {
  version: number;
  weight: number;
}

/** The version whose slot the place is in; undefined: the stable one's. */
export function versionAt(slots: readonly Slot[], place: number): number | undefined {
  for (const slot of slots) if (place >= slot.from && place < slot.to) return slot.version;
  return undefined;
}

/**
 * Slots of the wanted weights, made of those that there are by moving as little as can be: a version whose weight grows keeps what it has and takes from what is the
 * stable version's, or from versions that shrink. So a key stays with its version as long as that version's weight does not shrink.
 */
export function reallocate(slots: readonly Slot[], wanted: readonly Share[]): Slot[] {
  const next: Slot[] = [];
  for (const { version, weight } of wanted) {
    let left = weight;
    for (const slot of slots.filter((one) => one.version === version)) {
      if (left <= 0) break;
      const size = Math.min(left, slot.to - slot.from);
      // By the numbers that they were, so that no key falls between two roundings.
      next.push({ version, from: slot.from, to: size === slot.to - slot.from ? slot.to : slot.from + size });
      left -= size;
    }
  }
  for (const { version, weight } of wanted) {
    const has = next.reduce((sum, slot) => sum + (slot.version === version ? slot.to - slot.from : 0), 0);
    let left = weight - has;
    for (const gap of gapsOf(next)) {
      if (left <= tiny) break;
      const size = Math.min(left, gap.to - gap.from);
      next.push({ version, from: gap.from, to: gap.to - gap.from - size <= tiny ? gap.to : gap.from + size });
      left -= size;
    }
  }
  return joined(next);
}
const tiny = 1e-12;

function gapsOf(slots: readonly Slot[]): { from: number; to: number }[] {
  const gaps: { from: number; to: number }[] = [];
  let at = 0;
  for (const slot of [...slots].sort((a, b) => a.from - b.from)) {
    if (slot.from - at > tiny) gaps.push({ from: at, to: slot.from });
    at = Math.max(at, slot.to);
  }
  if (1 - at > tiny) gaps.push({ from: at, to: 1 });
  return gaps;
}
function joined(slots: readonly Slot[]): Slot[] {
  const all: Slot[] = [];
  for (const slot of [...slots].sort((a, b) => a.from - b.from)) {
    const last = all.at(-1);
    if (last?.version === slot.version && Math.abs(last.to - slot.from) <= tiny) last.to = slot.to;
    else all.push({ ...slot });
  }
  return all;
}

/** A place in [0, 1) that is always the same for the same text: FNV-1a, finished as MurmurHash3 does so that near texts lie far apart. */
export function placeOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 0x1_0000_0000;
}
