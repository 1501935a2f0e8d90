-- Pipelines: runs of typed steps, and the outputs that can be used again.
create table pipeline_run (
  id text primary key,
  -- The order in which runs were asked for: ids may be chosen by who asks.
  n bigint generated always as identity unique,
  pipeline text not null,
  project text not null,
  project_version int not null,
  commit text,
  spec jsonb not null,
  params jsonb not null,
  cause jsonb not null,
  state text not null check (state in ('queued', 'running', 'succeeded', 'refused', 'failed', 'cancelled')),
  message text,
  tracking_run_id text,
  metrics jsonb not null default '{}',
  model_version text,
  -- Counts the executions: every write names the one it belongs to, and an older one is refused.
  epoch int not null default 0,
  executor text,
  -- By the platform's clock, which may be a replayed one.
  created_at timestamptz not null,
  started_at timestamptz,
  finished_at timestamptz,
  -- By the real clock, for durations.
  real_created_at timestamptz not null default clock_timestamp(),
  real_started_at timestamptz,
  real_finished_at timestamptz
);
create index pipeline_run_of_pipeline on pipeline_run (pipeline, n);
create index pipeline_run_active on pipeline_run (n) where state in ('queued', 'running');

create table pipeline_step (
  run text not null references pipeline_run,
  id text not null,
  position int not null,
  kind text not null,
  state text not null check (state in ('waiting', 'running', 'succeeded', 'cached', 'refused', 'failed', 'cancelled', 'skipped')),
  attempt int not null default 0,
  started_at timestamptz,
  finished_at timestamptz,
  real_started_at timestamptz,
  real_finished_at timestamptz,
  cache_key text,
  cached_from text,
  error text,
  outputs jsonb not null default '{}',
  primary key (run, id)
);

-- What steps said, of all attempts one after the other, in chunks of lines.
create table pipeline_log (
  run text not null references pipeline_run,
  step text not null,
  -- The number of the chunk's first line, and how many it has.
  first int not null,
  count int not null,
  -- JSON: {at, stream, text}[]
  lines text not null,
  primary key (run, step, first)
);

create table pipeline_cache (
  key text primary key,
  run text not null,
  step text not null,
  outputs jsonb not null,
  metrics jsonb not null,
  model_version text,
  created_at timestamptz not null
);

-- Processes that run pipelines: the runs of one that is silent for too long are taken over.
create table pipeline_worker (
  executor text primary key,
  seen_at timestamptz not null
);
