/**
 * What is known of users, merchants and devices: defined once, and shared by the models of fraud, credit and profile, which read it in one way.
 *
 * A payment is scored as of `at`, when it is asked for, and counts in windows from `booked_at` on, 0.2 s later. So it is never among what it is compared
 * with, and everything that was booked before is, offline and online alike.
 */
import {
  boolean,
  col,
  count,
  daysBetween,
  distinct,
  divide,
  entity,
  equal,
  featureService,
  featureView,
  float64,
  hour,
  ifElse,
  int64,
  last,
  less,
  mean,
  oneOf,
  share,
  stddev,
  string,
  subtract,
  sum,
  timestamp,
  window,
  year,
} from "@millrace/sdk";
import { merchants, profiles, repayments, transactions } from "./datasets.js";

export const user = entity({ name: "user", keys: { user_id: string() }, description: "Who pays" });
export const merchant = entity({ name: "merchant", keys: { merchant_id: string() }, description: "Who is paid" });
export const device = entity({ name: "device", keys: { device_id: string() }, description: "What a payment is made with" });
export const userMerchant = entity({ name: "user_merchant", keys: { user_id: string(), merchant_id: string() }, description: "Someone in some shop" });

/** Views read the payments as they are, so that one push of a payment reaches all of them. */
const payments = { events: transactions, timestamp: "booked_at" as const, tags: ["payments"] };

// ---------------------------------------------------------------------------------- shared by all three models

export const userSpending = window({
  name: "user_spending",
  description: "What a user paid lately",
  owner: "payments",
  entity: user,
  ...payments,
  features: {
    user_count_5m: count().over("5m"),
    user_count_1h: count().over("1h"),
    user_count_24h: count().over("24h"),
    user_count_7d: count().over("7d"),
    user_count_30d: count().over("30d"),
    user_sum_24h: sum("amount").over("24h"),
    user_sum_30d: sum("amount").over("30d"),
    user_mean_30d: mean("amount").over("30d"),
    user_deviation_30d: stddev("amount").over("30d"),
    user_merchants_24h: distinct("merchant_id").over("24h"),
    user_merchants_30d: distinct("merchant_id").over("30d"),
    user_last_device: last("device_id", "string").over("30d"),
  },
});

export const userProfile = featureView({
  name: "user_profile",
  description: "What a user says of themselves, as it was known: a corrected income is not seen before it was corrected",
  owner: "customers",
  entity: user,
  source: profiles,
  timestamp: "at",
  created: "created_at",
  // Who has not been asked for ten years is asked again.
  ttl: "3650d",
  features: { birth_year: int64(), income: float64("EUR a year"), verified: boolean(), member_since: timestamp() },
});

export const userRepayments = window({
  name: "user_repayments",
  description: "How a user paid back",
  owner: "credit",
  entity: user,
  events: repayments,
  timestamp: "at",
  features: { repaid_90d: count().over("90d"), late_90d: share("late").over("90d"), repaid_sum_90d: sum("amount").over("90d") },
});

// ---------------------------------------------------------------------------------------------- of fraud alone

export const merchantActivity = window({
  name: "merchant_activity",
  owner: "payments",
  entity: merchant,
  ...payments,
  features: {
    merchant_count_5m: count().over("5m"),
    merchant_count_24h: count().over("24h"),
    merchant_mean_7d: mean("amount").over("7d"),
  },
});

export const deviceActivity = window({
  name: "device_activity",
  owner: "payments",
  entity: device,
  ...payments,
  features: {
    device_count_1h: count().over("1h"),
    device_count_30d: count().over("30d"),
    device_users_24h: distinct("user_id").over("24h"),
  },
});

export const userAtMerchant = window({
  name: "user_at_merchant",
  owner: "payments",
  entity: userMerchant,
  ...payments,
  features: { pair_count_30d: count().over("30d"), pair_mean_30d: mean("amount").over("30d") },
});

export const merchantProfile = featureView({
  name: "merchant_profile",
  description: "What a merchant sells, as it was known: a corrected category is not seen before it was corrected",
  owner: "payments",
  entity: merchant,
  source: merchants,
  timestamp: "at",
  created: "created_at",
  features: { category: string() },
});

// ---------------------------------------------------------------------------------------------------- services

export const fraudFeatures = featureService({
  name: "fraud_features",
  description: "Of a payment that is asked for",
  owner: "payments",
  request: {
    at: timestamp(),
    user_id: string(),
    merchant_id: string(),
    device_id: string(),
    amount: float64("EUR"),
    channel: string(),
    distance_km: float64("km"),
  },
  timestamp: "at",
  views: [userSpending, userProfile, userRepayments, merchantActivity, deviceActivity, userAtMerchant, merchantProfile],
  compute: {
    hour_of_day: hour(col("at"), "Europe/Oslo"),
    night: ifElse(less(hour(col("at"), "Europe/Oslo"), 6), 1, 0),
    amount_to_usual: divide(col("amount"), col("user_mean_30d")),
    amount_deviation: divide(subtract(col("amount"), col("user_mean_30d")), col("user_deviation_30d")),
    amount_to_merchant: divide(col("amount"), col("merchant_mean_7d")),
    same_device: ifElse(equal(col("device_id"), col("user_last_device")), 1, 0),
    easy_to_sell: ifElse(oneOf(col("category"), ["electronics", "travel", "gift_cards"]), 1, 0),
    member_days: daysBetween(col("member_since"), col("at")),
  },
  features: [
    ...(["channel", "category"] as const),
    ...(["amount", "distance_km", "hour_of_day", "night", "amount_to_usual", "amount_deviation", "amount_to_merchant", "same_device", "easy_to_sell"] as const),
    ...(["member_days", "user_count_5m", "user_count_1h", "user_count_24h", "user_count_30d", "user_sum_24h", "user_merchants_24h"] as const),
    ...(["merchant_count_5m", "merchant_count_24h", "device_count_1h", "device_count_30d", "device_users_24h", "pair_count_30d", "pair_mean_30d"] as const),
    ...(["late_90d"] as const),
  ],
});

export const creditFeatures = featureService({
  name: "credit_features",
  description: "Of a loan that is asked for",
  owner: "credit",
  request: { at: timestamp(), user_id: string(), amount: float64("EUR") },
  timestamp: "at",
  views: [userSpending, userProfile, userRepayments],
  compute: {
    age: subtract(year(col("at"), "Europe/Oslo"), col("birth_year")),
    member_days: daysBetween(col("member_since"), col("at")),
    is_verified: ifElse(col("verified"), 1, 0),
    amount_to_income: divide(col("amount"), col("income")),
    spending_to_income: divide(col("user_sum_30d"), col("income")),
  },
  features: [
    ...(["amount", "income", "amount_to_income", "spending_to_income", "age", "member_days", "is_verified"] as const),
    ...(["repaid_90d", "late_90d", "repaid_sum_90d", "user_count_30d", "user_mean_30d"] as const),
  ],
});

export const profileFeatures = featureService({
  name: "profile_features",
  description: "Of a user, on any day",
  owner: "customers",
  request: { at: timestamp(), user_id: string() },
  timestamp: "at",
  views: [userSpending, userProfile, userRepayments],
  compute: {
    age: subtract(year(col("at"), "Europe/Oslo"), col("birth_year")),
    member_days: daysBetween(col("member_since"), col("at")),
    // 1 for who pays this week as often as in the whole month.
    week_to_month: divide(col("user_count_7d"), col("user_count_30d")),
  },
  features: [
    ...(["user_count_7d", "user_count_30d", "week_to_month", "user_sum_30d", "user_mean_30d", "user_merchants_30d"] as const),
    ...(["age", "member_days", "income", "repaid_90d", "late_90d"] as const),
  ],
});
