import type { Promotion } from "@millrace/sdk/api";
import { type Listed, useApi } from "../api";
import { Environments } from "../delivery/environments";
import { Promotions, Releases } from "../delivery/lists";
import { Repositories } from "../delivery/repositories";
import { Badge, Page, Tabs } from "../ui";
import { useUrl } from "../url";

export function Delivery() {
  const [{ tab }] = useUrl();
  const open = useApi<Listed<Promotion>>("/promotions?state=open&limit=500", 5_000);
  const waiting = open.data?.items ?? [];
  return (
    <Page title="Delivery" about="What each environment holds, what waits to come, and who decided">
      <Tabs
        param="tab"
        of={[
          ["environments", "Environments"],
          [
            "promotions",
            <span key="promotions" className="inline-flex items-center gap-1.5">
              Promotions {waiting.length > 0 && <Badge tone="warn">{waiting.length} open</Badge>}
            </span>,
          ],
          ["releases", "Releases"],
          ["repositories", "Repositories"],
        ]}
      />
      {tab === "promotions" ? <Promotions /> : tab === "releases" ? <Releases /> : tab === "repositories" ? <Repositories /> : <Environments open={waiting} />}
    </Page>
  );
}
