/**
 * A payment service that does not exist, day by day. SIMULATED, and the same for equal options: use it to try things out, and never to say how well
 * a model finds real fraud. The share of stolen payments is some 3 %, many times that of life, so that a small world has enough of them.
 *
 * What is made to happen:
 * - Until `change`, rings try out stolen cards: many small payments in minutes, at night, in one online shop, several cards from one device.
 * - From `change` on they take over accounts instead: a few large payments in hours, by day, with the wallet, each from a new device.
 * - At `change` the service brings out a wallet, and honest people use it too: channel and distance are others from then on.
 * - What became of a payment is known a week later (`settledAfter`), of a loan when it was due.
 * - Categories of merchants and incomes of users are wrong at first for some, and corrected on a later day.
 */
import { day, type Options, people, type User } from "./people.js";
import { openRandom, type Random, sumsOf } from "./random.js";

export { day, type Options } from "./people.js";

const minute = 60_000;
const hour = 3_600_000;
/** A payment counts in features from so long after it was asked for on: by then whoever decided about it has told it. */
export const bookedAfter = 200;
/** Who paid may call it back for so long; then it is known whether it was fraud. */
export const settledAfter = 7 * day;
/** Loans are for so long, and known to be lost so long after that. */
const loanTerm = 14 * day;
const loanGrace = 3 * day;

/** Times are ISO 8601 in UTC. */
export interface Payment {
  transaction_id: string;
  at: string;
  booked_at: string;
  user_id: string;
  merchant_id: string;
  device_id: string;
  amount: number;
  channel: "store" | "online" | "wallet";
  /** From where the user lives. */
  distance_km: number;
  fraud: boolean;
}
export interface Loan {
  loan_id: string;
  at: string;
  user_id: string;
  amount: number;
  defaulted: boolean;
  known_at: string;
}
export interface Repayment {
  loan_id: string;
  at: string;
  user_id: string;
  amount: number;
  late: boolean;
}

/** Payments by the hour of the day, in UTC. */
const hours = sumsOf([0.6, 0.4, 0.3, 0.2, 0.3, 0.6, 1.5, 3, 4, 4, 4.5, 6, 7.5, 6, 5, 5, 5.5, 7, 8, 7.5, 6, 4, 2.5, 1.2]);

export function openWorld(options: Options) {
  const { seed = 1, firstUser = 0, change } = options;
  const { users, merchants, popularity, rings } = people(options);
  const changed = change?.getTime() ?? Number.POSITIVE_INFINITY;
  const chanceOf = (what: string, date: number) => openRandom(`${seed}/${what}/${new Date(date).toISOString().slice(0, 10)}`);

  function honest(date: number): Omit<Payment, "transaction_id">[] {
    const random = chanceOf("payments", date);
    const weekend = [0, 6].includes(new Date(date).getUTCDay()) ? 1.25 : 1;
    return users.flatMap((user) => Array.from({ length: random.poisson(user.rate * weekend * staying(user, date)) }, () => payment(random, user, date)));
  }
  function payment(random: Random, user: User, date: number): Omit<Payment, "transaction_id"> {
    const at = date + random.weighted(hours) * hour + random.integer(0, hour - 1);
    const shop = random.chance(0.75) ? (user.favourites[random.integer(0, user.favourites.length - 1)] ?? 0) : random.weighted(popularity);
    const merchant = merchants[shop];
    const usual = merchant?.online ? "online" : "store";
    const channel = at >= changed && random.chance(usual === "store" ? 0.5 : 0.2) ? "wallet" : usual;
    const away = random.chance(0.03) ? random.exponential(400) : random.exponential(channel === "store" ? 6 : 3);
    return {
      ...{ at: iso(at), booked_at: iso(at + bookedAfter), user_id: user.id, merchant_id: merchant?.id ?? "" },
      device_id: phoneOf(user, at),
      amount: cents(user.usual * (merchant?.level ?? 1) * random.logNormal(1, 0.5)),
      ...{ channel, distance_km: tenths(channel === "wallet" ? random.exponential(1) : away) },
      // Some call back what they bought themselves: nothing about the payment tells it.
      fraud: random.chance(0.001),
    };
  }

  /** Many small payments in minutes with several stolen cards from one device. */
  function cardTesting(date: number): Omit<Payment, "transaction_id">[] {
    const random = chanceOf("rings", date);
    return rings.flatMap((ring) => {
      if (!random.chance(0.3)) return [];
      let at = date + (random.chance(0.8) ? random.integer(0, 5) : random.integer(6, 22)) * hour + random.integer(0, 40 * minute);
      const device = `d-${ring.name}-${random.integer(1, 3)}`;
      const shop = random.pick(ring.trial);
      return Array.from({ length: random.integer(6, 12) }, () => {
        at += Math.round(random.exponential(25_000)) + 1_000;
        return stolen(random, { at, user: random.pick(ring.victims), shop, device, amount: random.between(1, 9), channel: "online", away: 300 });
      });
    });
  }
  /** A few large payments of one account in hours, from a device that nobody has seen. */
  function takeover(date: number): Omit<Payment, "transaction_id">[] {
    const random = chanceOf("rings", date);
    return rings.flatMap((ring) =>
      Array.from({ length: random.poisson(0.9) }, (_, n) => {
        let at = date + random.integer(8, 19) * hour;
        const user = random.pick(ring.victims);
        const device = `d-${ring.name}-${iso(date).slice(0, 10)}-${n}`;
        return Array.from({ length: random.integer(2, 5) }, () => {
          at += random.integer(5, 45) * minute;
          const amount = (users[user]?.usual ?? 14) * random.between(6, 18);
          return stolen(random, { at, user, shop: random.pick(ring.dear), device, amount, channel: "wallet", away: 12 });
        });
      }).flat(),
    );
  }
  function stolen(
    random: Random,
    {
      at,
      user,
      shop,
      device,
      amount,
      channel,
      away,
    }: { at: number; user: number; shop: number; device: string; amount: number; channel: Payment["channel"]; away: number },
  ): Omit<Payment, "transaction_id"> {
    return {
      ...{ at: iso(at), booked_at: iso(at + bookedAfter), user_id: users[user]?.id ?? "", merchant_id: merchants[shop]?.id ?? "", device_id: device },
      ...{ amount: cents(amount), channel, distance_km: tenths(random.exponential(away)), fraud: true },
    };
  }

  /** A day's payments in order, with what becomes of them. */
  function payments(date: Date): Payment[] {
    const own = [...honest(date.getTime()), ...(date.getTime() >= changed ? takeover(date.getTime()) : cardTesting(date.getTime()))];
    const name = iso(date.getTime()).slice(0, 10).replaceAll("-", "");
    return own
      .sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : a.user_id < b.user_id ? -1 : 1))
      .map((one, i) => ({ transaction_id: `t-${name}-${i}`, ...one }));
  }

  /** What was asked for on a day, and what became of it. */
  function loans(date: Date): Loan[] {
    const random = chanceOf("loans", date.getTime());
    return users.flatMap((user): Loan[] => {
      const asks = random.chance(0.08);
      const share = random.logNormal(0.25, 0.5);
      const at = date.getTime() + random.integer(7, 21) * hour + random.integer(0, hour - 1);
      const luck = random.uniform();
      if (!asks || staying(user, date.getTime()) < 0.5) return [];
      const amount = Math.max(20, Math.round((user.income / 12) * share));
      const odds = -4.2 + 4.5 * user.risk + 1.3 * Math.log(share / 0.25) - 0.9 * Math.log(user.income / 34_000) + (user.verified ? 0 : 0.6);
      return [
        {
          loan_id: `l-${user.id}-${iso(at).slice(0, 10)}`,
          at: iso(at),
          user_id: user.id,
          amount,
          defaulted: luck < logistic(odds),
          known_at: iso(at + loanTerm + loanGrace),
        },
      ];
    });
  }
  /** What was paid back on a day, or fell due for good. */
  function repayments(date: Date): Repayment[] {
    const asked = [14, 15, 16, 17].flatMap((before) => loans(new Date(date.getTime() - before * day)));
    return asked.flatMap((loan): Repayment[] => {
      const random = openRandom(`${seed}/repayment/${loan.loan_id}`);
      const late = loan.defaulted || random.chance(0.04 + 0.6 * (users[Number(loan.user_id.slice(2)) - firstUser]?.risk ?? 0));
      const at = Date.parse(loan.at) + loanTerm + (loan.defaulted ? loanGrace : late ? random.integer(hour, 2 * day) : -random.integer(0, 6 * hour));
      if (at < date.getTime() || at >= date.getTime() + day) return [];
      return [{ loan_id: loan.loan_id, at: iso(at), user_id: loan.user_id, amount: loan.amount, late }];
    });
  }

  /** Who paid on a day; kept, as each day is asked for again and again. */
  const payers = new Map<number, Set<string>>();
  function payersOn(date: number): Set<string> {
    const known = payers.get(date) ?? new Set(payments(new Date(date)).map((one) => one.user_id));
    payers.set(date, known);
    return known;
  }
  const payersIn = (from: number, days: number) => Array.from({ length: days }, (_, i) => payersOn(from + i * day));

  /** On a Monday: of those who paid in the two weeks that end two weeks ago, who has not paid since. */
  function lapses(date: Date): { at: string; user_id: string; lapsed: boolean; known_at: string }[] {
    const at = date.getTime() - 14 * day;
    if (date.getUTCDay() !== 1 || at - 14 * day < options.from.getTime()) return [];
    const before = payersIn(at - 14 * day, 14);
    const since = payersIn(at, 14);
    return users.flatMap(({ id }) =>
      before.some((one) => one.has(id)) ? [{ at: iso(at), user_id: id, lapsed: !since.some((one) => one.has(id)), known_at: iso(date.getTime()) }] : [],
    );
  }

  /** Profiles as they are written down on a day: those of everyone on the first day, corrections when they come. `created_at` says when. */
  function profiles(date: Date) {
    const on = within(date);
    return users.flatMap((user) => {
      const row = (income: number, created: number) => ({
        ...{ user_id: user.id, at: iso(user.memberSince), created_at: iso(created), member_since: iso(user.memberSince) },
        ...{ birth_year: user.birthYear, income, verified: user.verified },
      });
      const first = date.getTime() === options.from.getTime() ? [row(user.statedIncome, user.memberSince)] : [];
      return user.incomeCorrected !== undefined && on(user.incomeCorrected) ? [...first, row(user.income, user.incomeCorrected)] : first;
    });
  }
  function shops(date: Date) {
    const on = within(date);
    const opened = options.from.getTime() - 30 * day;
    return merchants.flatMap((merchant) => {
      const row = (category: string, created: number) => ({
        merchant_id: merchant.id,
        at: iso(opened),
        created_at: iso(created),
        category,
        online: merchant.online,
      });
      const first = date.getTime() === options.from.getTime() ? [row(merchant.statedCategory, opened)] : [];
      return merchant.corrected !== undefined && on(merchant.corrected) ? [...first, row(merchant.category, merchant.corrected)] : first;
    });
  }

  return { payments, loans, repayments, lapses, profiles, merchants: shops };
}
export type World = ReturnType<typeof openWorld>;

function staying({ leaves }: User, date: number): number {
  return leaves === undefined || date < leaves ? 1 : Math.max(0.02, 1 - (date - leaves) / (14 * day));
}
const phoneOf = (user: User, at: number): string => `d-${user.id}-${at >= user.newPhone ? 2 : 1}`;
const within = (date: Date) => (moment: number) => moment >= date.getTime() && moment < date.getTime() + day;
const iso = (moment: number): string => new Date(moment).toISOString();
const cents = (amount: number): number => Math.max(0.5, Math.round(amount * 100) / 100);
const tenths = (km: number): number => Math.round(km * 10) / 10;
const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
