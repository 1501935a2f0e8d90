/** What the arriving files must look like. */
import { boolean, compare, float64, int64, schema, string, timestamp, uniqueTogether } from "@millrace/sdk";

const userId = { maxNullShare: 0, pattern: "u-[0-9]{6,}" };
const merchantId = { maxNullShare: 0, pattern: "m-[0-9]{5,}" };
const deviceId = { maxNullShare: 0, pattern: "d-.+" };
const channels = ["store", "online", "wallet"];
/** Prices rise and fall; that a payment of a thousand times the usual comes in is a mistake of whoever sends it. */
const amount = { maxNullShare: 0, min: 0.01, max: 50_000 };

export const transactionsSchema = schema({
  name: "transactions",
  columns: {
    transaction_id: string({ maxNullShare: 0, unique: true }),
    at: timestamp({ maxNullShare: 0 }),
    booked_at: timestamp({ maxNullShare: 0 }),
    user_id: string(userId),
    merchant_id: string(merchantId),
    device_id: string(deviceId),
    amount: float64(amount),
    channel: string({ maxNullShare: 0, domain: channels, drift: { psi: 0.25 } }),
    distance_km: float64({ maxNullShare: 0.01, min: 0, max: 20_100 }),
  },
  relations: [compare("at", "<=", "booked_at")],
});

export const settlementsSchema = schema({
  name: "settlements",
  columns: {
    transaction_id: string({ maxNullShare: 0, unique: true }),
    at: timestamp({ maxNullShare: 0 }),
    settled_at: timestamp({ maxNullShare: 0 }),
    user_id: string(userId),
    merchant_id: string(merchantId),
    device_id: string(deviceId),
    amount: float64(amount),
    channel: string({ maxNullShare: 0, domain: channels }),
    distance_km: float64({ maxNullShare: 0.01, min: 0, max: 20_100 }),
    fraud: boolean({ maxNullShare: 0 }),
  },
  relations: [compare("at", "<", "settled_at")],
  // The share of what is called back. A file where a tenth is called back has its labels wrong.
  expectations: [{ name: "mostly_honest", sql: "not fraud", maxFailing: 0.1 }],
});

export const profilesSchema = schema({
  name: "profiles",
  columns: {
    user_id: string(userId),
    at: timestamp({ maxNullShare: 0 }),
    created_at: timestamp({ maxNullShare: 0 }),
    member_since: timestamp({ maxNullShare: 0 }),
    birth_year: int64({ maxNullShare: 0, min: 1900, max: 2015 }),
    income: float64({ min: 0 }),
    verified: boolean({ maxNullShare: 0 }),
  },
  relations: [compare("at", "<=", "created_at"), uniqueTogether(["user_id", "created_at"])],
});

export const merchantsSchema = schema({
  name: "merchants",
  columns: {
    merchant_id: string(merchantId),
    at: timestamp({ maxNullShare: 0 }),
    created_at: timestamp({ maxNullShare: 0 }),
    category: string({ maxNullShare: 0 }),
    online: boolean({ maxNullShare: 0 }),
  },
  relations: [uniqueTogether(["merchant_id", "created_at"])],
});

export const loansSchema = schema({
  name: "loans",
  columns: {
    loan_id: string({ maxNullShare: 0, unique: true }),
    at: timestamp({ maxNullShare: 0 }),
    user_id: string(userId),
    amount: float64(amount),
    defaulted: boolean({ maxNullShare: 0 }),
    known_at: timestamp({ maxNullShare: 0 }),
  },
  relations: [compare("at", "<", "known_at")],
});

export const repaymentsSchema = schema({
  name: "repayments",
  columns: {
    loan_id: string({ maxNullShare: 0 }),
    at: timestamp({ maxNullShare: 0 }),
    user_id: string(userId),
    amount: float64(amount),
    late: boolean({ maxNullShare: 0 }),
  },
});

export const lapsesSchema = schema({
  name: "lapses",
  columns: {
    at: timestamp({ maxNullShare: 0 }),
    user_id: string(userId),
    lapsed: boolean({ maxNullShare: 0 }),
    known_at: timestamp({ maxNullShare: 0 }),
  },
  relations: [compare("at", "<", "known_at"), uniqueTogether(["user_id", "at"])],
});
