import type { FeatureView } from "@millrace/sdk/api";
import { type Listed, useApi } from "../api";
import { count } from "../format";
import { Badge, Choose, Empty, Page, Panel, Read, Table, Time } from "../ui";
import { useUrl } from "../url";

export function FeatureViews() {
  const [{ kind }] = useUrl();
  const views = useApi<Listed<FeatureView>>("/feature-views");
  return (
    <Page
      title="Feature views"
      about="One definition, read offline as of a moment and online now"
      actions={<Choose label="Kind" param="kind" of={["latest", "window"]} all="all" />}
    >
      <Read query={views}>
        {({ items }) => {
          const shown = items.filter((view) => kind === undefined || view.kind === kind);
          if (shown.length === 0)
            return (
              <Panel>
                <Empty>{items.length === 0 ? "No feature view is defined yet." : "No feature view of this kind."}</Empty>
              </Panel>
            );
          return (
            <div className="grid grid-cols-2 items-start gap-3">
              {shown.map((view) => (
                <Panel
                  key={view.name}
                  flush
                  title={
                    <span className="flex items-center gap-2">
                      {view.name} <Badge>{view.kind}</Badge>
                    </span>
                  }
                  actions={
                    <span className="text-muted">
                      of {view.entity} by {view.keys.join(", ")}
                    </span>
                  }
                >
                  <p className="px-3 py-1.5 text-muted">
                    {count(view.onlineRows)} rows online, newest <Time at={view.newest} />
                  </p>
                  <Table
                    label={`Features of ${view.name}`}
                    rows={view.features}
                    id={(one) => one.name}
                    columns={[
                      { head: "Feature", cell: (one) => <b className="font-medium">{one.name}</b> },
                      { head: "Type", cell: (one) => one.type },
                      { head: "Unit", cell: (one) => one.unit ?? "–" },
                      { head: "Description", wide: true, cell: (one) => <span className="text-muted">{one.description ?? ""}</span> },
                    ]}
                  />
                </Panel>
              ))}
            </div>
          );
        }}
      </Read>
    </Page>
  );
}
