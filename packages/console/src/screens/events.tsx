import type { Event } from "@millrace/sdk/api";
import { useList } from "../api";
import { eventColumns } from "../told";
import { Choose, Failure, Loading, Page, Panel, Table } from "../ui";
import { useUrl } from "../url";

const kinds = [
  "dataset.version_accepted",
  "dataset.version_quarantined",
  "run.finished",
  "model_version.registered",
  "alias.set",
  "rollout.started",
  "rollout.advanced",
  "rollout.promoted",
  "rollout.rolled_back",
  "monitor.checked",
  "monitor.alert",
  "trigger.fired",
];

export function Events() {
  const [{ type }] = useUrl();
  const events = useList<Event>(`/events?newest=true&limit=500${type === undefined ? "" : `&types=${encodeURIComponent(type)}`}`);
  return (
    <Page title="Events" about="What happened, newest first" actions={<Choose label="Type" param="type" of={kinds} all="all" />}>
      <Panel flush>
        {events.isError ? (
          <Failure message={events.error.message} again={() => void events.refetch()} />
        ) : events.isPending ? (
          <Loading />
        ) : (
          <Table label="Events" rows={events.rows} columns={eventColumns} id={(event) => event.id} height={780} empty="No such event yet." />
        )}
      </Panel>
    </Page>
  );
}
