-- Sweeps: a pipeline tried with many values of its params. All that a search knows is in these rows.
create table sweep (
  id text primary key,
  n bigint generated always as identity unique,
  -- The definition that it was started from.
  definition text,
  pipeline text not null,
  -- json, which keeps the order of params as they were written.
  spec json not null,
  trials int not null,
  state text not null check (state in ('running', 'paused', 'succeeded', 'failed', 'cancelled')),
  message text,
  tracking_run_id text,
  experiment_id text,
  -- Its end was tracked.
  tracked boolean not null default false,
  created_by text not null,
  created_at timestamptz not null,
  finished_at timestamptz
);
create index sweep_open on sweep (n) where state = 'running' or not tracked;

create table sweep_trial (
  sweep text not null references sweep,
  n int not null,
  params json not null,
  state text not null check (state in ('running', 'succeeded', 'stopped', 'failed', 'cancelled')),
  run_id text not null,
  -- The run was asked for: until then whoever looks asks again.
  asked boolean not null default false,
  -- Its tracking run is marked as one of the sweep's.
  linked boolean not null default false,
  tracking_run_id text,
  value double precision,
  step bigint,
  -- Steps at which an early stop was considered.
  judged bigint,
  -- Why it is ended early; it is over when its run is.
  stopping text,
  message text,
  started_at timestamptz not null,
  finished_at timestamptz,
  primary key (sweep, n)
);
create index sweep_trial_running on sweep_trial (sweep) where state = 'running';
