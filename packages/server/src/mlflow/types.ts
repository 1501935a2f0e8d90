export interface KeyValue {
  key: string;
  value: string;
}
export type View = "ACTIVE_ONLY" | "DELETED_ONLY" | "ALL";
