/** What a payment service hands over: what happens, as it happens, and what became of it, later. */
import { dataset } from "@millrace/sdk";
import { lapsesSchema, loansSchema, merchantsSchema, profilesSchema, repaymentsSchema, settlementsSchema, transactionsSchema } from "./schemas.js";

/** A replay that runs beside another takes a folder of its own. */
const folder = process.env.PAYMENTS_ARRIVALS ?? "arrivals";

export const transactions = dataset({
  name: "transactions",
  description: "Payments, as they are asked for (at) and booked (booked_at)",
  watch: { folder, pattern: "transactions-*.parquet" },
  timestamp: "at",
  schema: transactionsSchema,
});

/** The label of fraud: a payment can be called back for a week. */
export const settlements = dataset({
  name: "settlements",
  description: "Payments a week later: which of them were called back as fraud",
  watch: { folder, pattern: "settlements-*.parquet" },
  timestamp: "at",
  schema: settlementsSchema,
});

/** A correction is a row with the same `at` and a later `created_at`. */
export const profiles = dataset({
  name: "profiles",
  description: "What users say of themselves, with corrections",
  watch: { folder, pattern: "profiles-*.parquet" },
  timestamp: "created_at",
  schema: profilesSchema,
});

export const merchants = dataset({
  name: "merchants",
  description: "Who takes payments, with corrected categories",
  watch: { folder, pattern: "merchants-*.parquet" },
  timestamp: "created_at",
  schema: merchantsSchema,
});

/** The label of credit: 17 days after the loan it is known whether it was paid back. */
export const loans = dataset({
  name: "loans",
  description: "Loans of two weeks, once it is known what became of them",
  watch: { folder, pattern: "loans-*.parquet" },
  timestamp: "at",
  schema: loansSchema,
});

export const repayments = dataset({
  name: "repayments",
  description: "Loans paid back, in time or late, and those that are lost",
  watch: { folder, pattern: "repayments-*.parquet" },
  timestamp: "at",
  schema: repaymentsSchema,
});

/** The label of the profile: two weeks later it is known who has not come back. */
export const lapses = dataset({
  name: "lapses",
  description: "Users on Mondays, and whether they paid in the two weeks after",
  watch: { folder, pattern: "lapses-*.parquet" },
  timestamp: "at",
  schema: lapsesSchema,
});
