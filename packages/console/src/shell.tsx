import { Link, Outlet } from "@tanstack/react-router";
import { useClock, useLive } from "./api";
import { exact } from "./format";
import { useTheme } from "./theme";

const parts = [
  ["/", "Loop"],
  ["/datasets", "Datasets"],
  ["/feature-views", "Feature views"],
  ["/pipelines", "Pipelines"],
  ["/runs", "Runs"],
  ["/workers", "Workers"],
  ["/schedules", "Schedules"],
  ["/backfills", "Backfills"],
  ["/sweeps", "Sweeps"],
  ["/experiments", "Experiments"],
  ["/models", "Models"],
  ["/endpoints", "Endpoints"],
  ["/delivery", "Delivery"],
  ["/monitors", "Monitors"],
  ["/triggers", "Triggers"],
  ["/events", "Events"],
] as const;

/** What stands around every screen: the parts of the loop, the platform's clock, the theme. */
export function Shell() {
  const live = useLive();
  const { now, kind } = useClock();
  const { choice, next } = useTheme();
  return (
    <div className="grid min-h-screen grid-cols-[minmax(0,1fr)] grid-rows-[2.75rem_auto_1fr] md:grid-cols-[11.5rem_minmax(0,1fr)] md:grid-rows-[2.75rem_1fr]">
      <a href="#screen" className="sr-only focus:not-sr-only focus:absolute focus:z-50 focus:bg-panel focus:p-2">
        Go to the screen
      </a>
      <header className="flex items-center gap-4 md:col-span-2 border-b border-line bg-panel px-4">
        <Link to="/" className="flex items-center gap-2 text-[15px] font-semibold tracking-tight">
          <img src="/favicon.svg" alt="" className="size-5" />
          Millrace
        </Link>
        <div className="ml-auto flex items-center gap-3 text-muted">
          <span
            title={live ? "The server's events arrive as they happen" : "No stream of events now; the screens ask again every few seconds"}
            role="status"
            className="whitespace-nowrap"
          >
            <span aria-hidden className={`mr-1.5 inline-block size-2 rounded-full ${live ? "bg-ok" : "bg-warn"}`} />
            {live ? "live" : "polling"}
          </span>
          {kind !== undefined && (
            <span title="The platform's clock. Times on every screen are relative to it." className="flex items-center gap-1.5 whitespace-nowrap">
              {kind === "replay" && <span className="rounded bg-warn/15 px-1.5 font-medium text-warn">replayed clock</span>}
              <time dateTime={new Date(now).toISOString()} className="max-sm:sr-only">
                {exact(now)}
              </time>
            </span>
          )}
          <button type="button" className="button" onClick={next} aria-label={`Theme: ${choice}. Change it`}>
            <span aria-hidden>{choice === "system" ? "◐" : choice === "light" ? "☀" : "☾"}</span>
            {choice}
          </button>
        </div>
      </header>
      <nav aria-label="Parts of the loop" className="overflow-x-auto border-line bg-panel p-2 max-md:border-b md:border-r">
        <ul className="sticky top-2 flex gap-0.5 md:flex-col">
          {parts.map(([to, name]) => (
            <li key={to}>
              <Link
                to={to}
                activeOptions={{ exact: to === "/", includeSearch: false }}
                className="block whitespace-nowrap rounded-md px-2.5 py-1 text-muted hover:bg-sunken hover:text-ink"
                activeProps={{ className: "bg-sunken font-semibold !text-ink", "aria-current": "page" }}
              >
                {name}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      <main id="screen" className="min-w-0 p-4" tabIndex={-1}>
        <Outlet />
      </main>
    </div>
  );
}
