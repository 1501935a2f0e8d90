-- Real deletion: each collection with what it freed, and what of it is still to be done.
create table collection (
  id bigint generated always as identity primary key,
  state text not null check (state in ('running', 'done', 'failed', 'interrupted')),
  dry_run boolean not null,
  started_by text not null,
  -- What was deleted before is freed, by the platform's clock.
  deleted_before timestamptz not null,
  phase text not null,
  freed jsonb not null default '{}',
  kept jsonb not null default '{}',
  message text,
  started_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  -- While it runs: a server that is killed says nothing more.
  seen_at timestamptz not null default clock_timestamp()
);

-- Runs that are gone and whose points may not all be: there can be too many for one transaction.
create table freed_run (
  id text primary key
);

create index tracking_run_deleted on tracking_run (id) where lifecycle_stage = 'deleted';
create index logged_model_deleted on logged_model (id) where lifecycle_stage = 'deleted';
create index pipeline_run_tracking on pipeline_run (tracking_run_id);
create index model_version_logged_model on model_version (logged_model_id);
