/** Which addresses a webhook may reach: public ones, and those that the operator allows. A name is looked at when it is connected to. */
import { type LookupAddress, lookup } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { StartError } from "../platform/index.js";

/** Of IANA's registries of special addresses all that are not globally reachable, and what leads to another address by its form. */
const special = [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24"],
  ...["192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"],
  ...["::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16"],
  ...["fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"],
];
const notPublic = networks(special);

export interface Reach {
  /** Whether an address, as numbers, may be reached. */
  allows(address: string): boolean;
  /** Resolves names to addresses that may be reached, and fails where one of them may not. */
  lookup: LookupFunction;
}

export class BlockedError extends Error {
  override readonly name = "BlockedError";
}

export function createReach(allowed: readonly string[]): Reach {
  const own = networks(allowed);
  const allows = (address: string): boolean => {
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    return isIP(address) !== 0 && (own.check(address, family) || !notPublic.check(address, family));
  };
  return {
    allows,
    lookup: (host, options, done) => {
      lookup(host, { ...options, all: true }, (error, found: LookupAddress[]) => {
        if (error !== null) return done(error, "");
        const bad = found.find(({ address }) => !allows(address));
        const [first] = found;
        if (bad !== undefined || first === undefined) return done(new BlockedError(notAllowed(host)), "");
        if (options.all) done(null, found);
        else done(null, first.address, first.family);
      });
    },
  };
}
export const notAllowed = (host: string): string =>
  `${host} is no public address. Whoever runs the server can allow it with MILLRACE_WEBHOOK_ALLOWED_NETWORKS.`;

/** Networks as `10.0.0.0/8`, or single addresses. */
function networks(texts: readonly string[]): BlockList {
  const list = new BlockList();
  for (const text of texts) {
    const [address = "", bits] = text.split("/");
    const family = isIP(address);
    const most = family === 6 ? 128 : 32;
    const length = bits === undefined ? most : Number(bits);
    if (family === 0 || !Number.isInteger(length) || length < 0 || length > most)
      throw new StartError(`"${text}" is no network: write 10.0.0.0/8, fd00::/8 or one address.`);
    list.addSubnet(address, length, family === 6 ? "ipv6" : "ipv4");
  }
  return list;
}
