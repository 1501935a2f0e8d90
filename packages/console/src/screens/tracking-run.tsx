import { useParams } from "@tanstack/react-router";
import { Page } from "../ui";

export function TrackingRun() {
  const { runId = "" } = useParams({ strict: false });
  return <Page title={runId}>…</Page>;
}
