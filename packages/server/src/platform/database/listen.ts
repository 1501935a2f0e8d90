import pg from "pg";
import type { Log } from "../log.js";

export type Listener = (payload: string) => void;

/** PostgreSQL's notifications, on a connection of its own that is made again when it breaks. */
export interface Notifications {
  /** `listener` is also called, with an empty payload, whenever something may have been missed: at the start and after a lost connection. */
  on(channel: string, listener: Listener): void;
  stop(): Promise<void>;
}

const retryMs = 500;

export function openNotifications(url: string, log: Log): Notifications {
  const channels = new Map<string, Listener[]>();
  let client: pg.Client | undefined;
  let retry: NodeJS.Timeout | undefined;
  let stopped = false;

  async function open(): Promise<void> {
    const opening = new pg.Client({ connectionString: url, application_name: "millrace notifications", keepAlive: true, connectionTimeoutMillis: 10_000 });
    let lost = false;
    const again = () => {
      if (lost) return;
      lost = true;
      if (client === opening) client = undefined;
      void opening.end().catch(() => {});
      if (!stopped) retry = setTimeout(() => void open(), retryMs).unref();
    };
    opening.on("error", again);
    opening.on("end", again);
    opening.on("notification", ({ channel, payload }) => tell(channel, payload ?? ""));
    try {
      await opening.connect();
      for (const channel of channels.keys()) await opening.query(`listen ${channel}`);
      client = opening;
      for (const channel of channels.keys()) tell(channel, "");
    } catch (error) {
      log.debug({ error }, "the connection for notifications is not there; it is tried again");
      again();
    }
  }
  function tell(channel: string, payload: string): void {
    for (const listener of channels.get(channel) ?? []) listener(payload);
  }

  // What listens is known when this turn of the event loop is over.
  const opening = Promise.resolve().then(open);
  return {
    on(channel, listener) {
      channels.set(channel, [...(channels.get(channel) ?? []), listener]);
    },
    async stop() {
      stopped = true;
      clearTimeout(retry);
      await opening;
      await client?.end();
    },
  };
}
