import type { FeatureService, FeatureView } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { type Listed, useApi } from "../api";
import { count } from "../format";
import { Badge, Choose, Empty, Page, Panel, Read, Table, Time } from "../ui";
import { useUrl } from "../url";

/** The registry of features: searched by name, owner, tag, entity, and by where they are used. */
export function FeatureViews() {
  const [{ kind, find }, change] = useUrl();
  const views = useApi<Listed<FeatureView>>("/feature-views");
  const services = useApi<Listed<FeatureService>>("/feature-services");
  return (
    <Page
      title="Feature views"
      about="One definition, read offline as of a moment and online now"
      actions={
        <>
          <input
            type="search"
            aria-label="Find features"
            placeholder="Name, owner, tag, entity, model…"
            className="w-64 rounded border border-line bg-panel px-2 py-1"
            value={find ?? ""}
            onChange={(event) => change({ find: event.target.value === "" ? undefined : event.target.value })}
          />
          <Choose label="Kind" param="kind" of={["latest", "window"]} all="all" />
        </>
      }
    >
      <Read query={services}>{(all) => <Services all={all.items} find={find} />}</Read>
      <Read query={views}>
        {({ items }) => {
          const of = services.data?.items ?? [];
          const shown = items.filter((view) => (kind === undefined || view.kind === kind) && has(find, [...textsOf(view), ...usersOf(view, of)]));
          if (shown.length === 0)
            return (
              <Panel>
                <Empty>{items.length === 0 ? "No feature view is defined yet." : "No feature view like this."}</Empty>
              </Panel>
            );
          return (
            <div className="grid grid-cols-2 items-start gap-3">
              {shown.map((view) => (
                <View key={view.name} view={view} />
              ))}
            </div>
          );
        }}
      </Read>
    </Page>
  );
}

const has = (find: string | undefined, texts: (string | undefined)[]): boolean =>
  find === undefined || texts.some((text) => text?.toLowerCase().includes(find.toLowerCase()));
const textsOf = (view: FeatureView) => [
  ...[view.name, view.owner, view.description, view.entity, view.dataset, ...view.tags, ...view.services],
  ...view.features.map((feature) => feature.name),
];
/** What uses the services that a view is in. */
const usersOf = (view: FeatureView, services: FeatureService[]): string[] =>
  services.filter((service) => view.services.includes(service.name)).flatMap(({ usedBy }) => [...usedBy.models.map((one) => one.model), ...usedBy.endpoints]);

function View({ view }: { view: FeatureView }) {
  return (
    <Panel
      flush
      title={
        <span className="flex items-center gap-2">
          {view.name} <Badge>{view.kind}</Badge>
          {view.tags.map((tag) => (
            <Badge key={tag} tone="info">
              {tag}
            </Badge>
          ))}
        </span>
      }
      actions={
        <span className="text-muted">
          of {view.entity} by {view.keys.join(", ")}
        </span>
      }
    >
      <div className="px-3 py-1.5 text-muted">
        {view.description !== undefined && <p>{view.description}</p>}
        <p>
          {count(view.onlineRows)} rows online, newest <Time at={view.newest} />, from{" "}
          <Link className="link" to="/datasets/$name" params={{ name: view.dataset }}>
            {view.dataset}
          </Link>
          {view.ttl !== null && `, not older than ${view.ttl}`}
          {view.materialize !== null && `, materialized every ${view.materialize}`}
          {view.owner !== undefined && `, owned by ${view.owner}`}
        </p>
        <p>{view.services.length === 0 ? "In no feature service" : `In ${view.services.join(", ")}`}</p>
      </div>
      <Table
        label={`Features of ${view.name}`}
        rows={view.features}
        id={(one) => one.name}
        columns={[
          { head: "Feature", cell: (one) => <b className="font-medium">{one.name}</b> },
          { head: "Type", cell: (one) => one.type },
          { head: "Unit", cell: (one) => one.unit ?? "–" },
          { head: "Description", wide: true, cell: (one) => <span className="text-muted">{one.description ?? one.aggregate ?? ""}</span> },
        ]}
      />
    </Panel>
  );
}

function Services({ all, find }: { all: FeatureService[]; find: string | undefined }) {
  const shown = all.filter((one) =>
    has(find, [
      ...[one.name, one.owner, one.description, ...one.tags, ...one.views],
      ...[...one.features.map((feature) => feature.name), ...one.usedBy.endpoints, ...one.usedBy.models.map(({ model }) => model)],
    ]),
  );
  if (shown.length === 0) return null;
  return (
    <Panel flush title="Feature services">
      <Table
        label="Feature services"
        rows={shown}
        id={(one) => one.name}
        columns={[
          { head: "Service", cell: (one) => <b className="font-medium">{one.name}</b> },
          { head: "Features", cell: (one) => count(one.features.length) },
          { head: "Views", cell: (one) => one.views.join(", ") },
          { head: "Owner", cell: (one) => one.owner ?? "–" },
          {
            head: "Models",
            cell: (one) =>
              one.usedBy.models.map(({ model, version }) => (
                <Link key={model} className="link mr-2" to="/models/$name" params={{ name: model }}>
                  {model} {version}
                </Link>
              )),
          },
          { head: "Endpoints", cell: (one) => one.usedBy.endpoints.join(", ") || "–" },
          { head: "Pipelines", wide: true, cell: (one) => one.usedBy.pipelines.join(", ") || "–" },
        ]}
      />
    </Panel>
  );
}
