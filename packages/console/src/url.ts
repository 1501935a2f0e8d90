import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback } from "react";

export type Search = Record<string, string | undefined>;
/** The state of a screen is in its address: reads it, and changes a part of it without a new entry in the history. */
export function useUrl(): [Search, (patch: Search) => void] {
  const search: Search = useSearch({ strict: false });
  const navigate = useNavigate();
  const change = useCallback((patch: Search) => void navigate({ to: ".", search: (old: Search) => ({ ...old, ...patch }), replace: true }), [navigate]);
  return [search, change];
}
