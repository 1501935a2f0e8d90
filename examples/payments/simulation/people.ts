/** Who pays, where, and who steals. SIMULATED: nobody here exists, and no number was taken from a real payment service. */
import { openRandom, sumsOf } from "./random.js";

export const day = 86_400_000;
const hour = 3_600_000;

export interface Options {
  /** Equal options give equal worlds. Default 1. */
  seed?: number;
  users: number;
  /** The number of the first user. Default 0: another number gives people whom another world does not have. */
  firstUser?: number;
  /** The world's first day, a midnight in UTC. */
  from: Date;
  /** The day on which the rings change how they steal, and the wallet comes. Without it that never happens. */
  change?: Date;
}

export interface User {
  id: string;
  memberSince: number;
  birthYear: number;
  /** What they earn in a year. */
  income: number;
  /** What is written down at first, where that is a mistake; corrected at `incomeCorrected`. */
  statedIncome: number;
  incomeCorrected: number | undefined;
  verified: boolean;
  /** 0 to 1, what nobody can see: how badly they pay back. */
  risk: number;
  /** Payments a day. */
  rate: number;
  /** The median of what they pay. */
  usual: number;
  favourites: number[];
  /** From then on they have another phone. */
  newPhone: number;
  /** From then on they pay less and less, and after two weeks hardly at all. */
  leaves: number | undefined;
}
export interface Merchant {
  id: string;
  category: string;
  /** What is written down at first, where that is not the category; corrected at `corrected`. */
  statedCategory: string;
  corrected: number | undefined;
  online: boolean;
  /** Of prices, 1 is usual. */
  level: number;
}
/** A gang with stolen cards. */
export interface Ring {
  name: string;
  victims: [number, ...number[]];
  /** Where stolen cards are tried out: shops that sell online what costs little. */
  trial: [number, ...number[]];
  /** Where much is taken at once. */
  dear: [number, ...number[]];
}

const kinds = [
  { category: "grocery", online: false, level: 1, weight: 5 },
  { category: "restaurant", online: false, level: 0.9, weight: 4 },
  { category: "fuel", online: false, level: 1.6, weight: 2 },
  { category: "pharmacy", online: false, level: 0.8, weight: 1 },
  { category: "fashion", online: true, level: 2, weight: 2 },
  { category: "gaming", online: true, level: 0.5, weight: 1.5 },
  { category: "gift_cards", online: true, level: 1, weight: 0.7 },
  { category: "electronics", online: true, level: 5, weight: 1 },
  { category: "travel", online: true, level: 6, weight: 0.6 },
] as const;

export function people({ seed = 1, users: many, firstUser = 0, from }: Options) {
  const start = from.getTime();
  const shops = Math.max(kinds.length * 2, Math.round(many / 7));
  const kindSums = sumsOf(kinds.map((kind) => kind.weight));
  const merchants = Array.from({ length: shops }, (_, i): Merchant => {
    const random = openRandom(`${seed}/merchant/${i}`);
    // The first two of each kind are there in the smallest world too.
    const kind = kinds[i < kinds.length * 2 ? i % kinds.length : random.weighted(kindSums)] ?? kinds[0];
    const mistaken = random.chance(0.1);
    return {
      ...{ id: `m-${String(i).padStart(5, "0")}`, category: kind.category, online: kind.online, level: kind.level * random.logNormal(1, 0.2) },
      statedCategory: mistaken ? "other" : kind.category,
      corrected: mistaken ? start + random.integer(8, 20) * day + random.integer(8, 17) * hour : undefined,
    };
  });
  /** Shops differ in how many come to them, about as cities do (Zipf's law with an exponent below 1). */
  const popularity = sumsOf(merchants.map((_, i) => (i + 3) ** -0.8));

  const users = Array.from({ length: many }, (_, i): User => {
    const random = openRandom(`${seed}/user/${firstUser + i}`);
    const income = Math.round(random.logNormal(34_000, 0.45));
    const mistaken = random.chance(0.06);
    const favourites = Array.from({ length: random.integer(3, 8) }, () => random.weighted(popularity));
    return {
      id: `u-${String(firstUser + i).padStart(6, "0")}`,
      memberSince: start - Math.round(random.exponential(500)) * day - 10 * day,
      birthYear: random.integer(1950, 2005),
      income,
      statedIncome: mistaken ? income * 10 : income,
      incomeCorrected: mistaken ? start + random.integer(15, 55) * day + 10 * hour : undefined,
      verified: random.chance(0.7),
      risk: random.uniform() ** 2.2,
      rate: Math.min(6, random.logNormal(0.75, 0.6)),
      usual: random.logNormal(14, 0.4) * (income / 34_000) ** 0.5,
      favourites,
      newPhone: start + random.integer(-60, 240) * day + 9 * hour,
      leaves: random.chance(0.45) ? start + random.integer(5, 150) * day : undefined,
    };
  });

  const having = (categories: readonly string[]): [number, ...number[]] => {
    const [first = 0, ...rest] = merchants.flatMap((merchant, i) => (categories.includes(merchant.category) ? [i] : []));
    return [first, ...rest];
  };
  const rings = Array.from({ length: Math.max(4, Math.round(many / 80)) }, (_, i): Ring => {
    const random = openRandom(`${seed}/ring/${i}`);
    const victim = () => random.integer(0, many - 1);
    return {
      name: `ring-${i}`,
      victims: [victim(), ...Array.from({ length: 11 }, victim)],
      trial: [random.pick(having(["gaming", "gift_cards"])), random.pick(having(["gaming", "gift_cards"]))],
      dear: having(["electronics", "travel"]),
    };
  });
  return { users, merchants, popularity, rings };
}
