-- The rows of steps are the queue: workers claim what is ready, and each write of an attempt names the attempt and its worker.
drop schema if exists dbos cascade;

alter table pipeline_run
  drop column epoch,
  drop column executor,
  -- Grows with each change of what follows, so that a process knows whether what it has in memory is still so.
  add column version bigint not null default 0,
  -- What was asked for beside params: {base, from, cache}.
  add column options jsonb not null default '{}',
  -- Who begins it, and since when.
  add column begun_by text,
  add column begun_at timestamptz,
  -- The end was told to tracking.
  add column tracked boolean not null default false;
update pipeline_run set tracked = true where state not in ('queued', 'running');
create index pipeline_run_untracked on pipeline_run (n) where not tracked and state not in ('queued', 'running');

alter table pipeline_step drop constraint pipeline_step_state_check;
alter table pipeline_step
  add constraint pipeline_step_state_check check (state in ('waiting', 'ready', 'running', 'asking', 'succeeded', 'cached', 'refused', 'failed', 'cancelled', 'skipped')),
  -- The order in which they became steps, which is the order in which they are claimed.
  add column n bigint generated always as identity,
  -- The node of the definition: within a map, the same for each item.
  add column node text,
  -- The map that it is run by.
  add column parent text,
  -- Of the parent's items, which one; what it is.
  add column item_index int,
  add column item jsonb,
  -- Not to be claimed before; by the database's clock.
  add column due timestamptz,
  add column worker text,
  add column backend text,
  add column host text,
  -- What it takes of a worker: {light} or {cpus, memory, gpus}.
  add column cpus double precision not null default 0,
  add column memory double precision not null default 0,
  add column gpus double precision not null default 0,
  add column place text not null default 'light' check (place in ('light', 'process', 'remote', 'none')),
  add column grouped text,
  add column group_limit int,
  -- Attempts that failed; what a dead worker left does not count.
  add column failures int not null default 0,
  add column reason text,
  -- What the cache key is made of, so that it can be said what changed.
  add column key_parts jsonb,
  add column inputs jsonb,
  add column progress jsonb,
  add column usage jsonb,
  -- Of a map: its items, and of them how many there are, have steps, and are over.
  add column items jsonb,
  add column items_total int,
  add column items_begun int,
  add column items_done int,
  -- Of what waits for an answer: {question, role} or {type, subject, after}; and until when, by the platform's clock.
  add column asks jsonb,
  add column asks_until timestamptz,
  add column metrics jsonb,
  add column model_version text;
update pipeline_step set node = id, state = case when state = 'running' then 'waiting' else state end;
alter table pipeline_step alter column node set not null;
create index pipeline_step_ready on pipeline_step (n) where state = 'ready';
create index pipeline_step_running on pipeline_step (worker) where state = 'running';
create index pipeline_step_asking on pipeline_step (run, id) where state = 'asking';
create index pipeline_step_of_parent on pipeline_step (run, parent, item_index) where parent is not null;

create table pipeline_attempt (
  run text not null,
  step text not null,
  attempt int not null,
  worker text not null,
  host text not null,
  backend text,
  started_at timestamptz not null,
  finished_at timestamptz,
  real_started_at timestamptz not null default clock_timestamp(),
  real_finished_at timestamptz,
  outcome text,
  exit_code int,
  signal text,
  message text,
  peak_memory double precision,
  cpu_seconds double precision,
  primary key (run, step, attempt),
  foreign key (run, step) references pipeline_step
);

-- What a step was made of when it ran last, for each pipeline: what a new run is compared with.
create table pipeline_made (
  pipeline text not null,
  step text not null,
  key text not null,
  run text not null,
  project text not null,
  project_version int not null,
  parts jsonb not null,
  primary key (pipeline, step)
);

drop table pipeline_worker;
create table pipeline_worker (
  id text primary key,
  -- The machine (and what on it has process ids of its own), and the process.
  host text not null,
  machine text not null,
  pid int not null,
  backends text[] not null,
  cpus double precision not null,
  memory double precision not null,
  gpus double precision not null,
  -- By the database's clock alone: a machine whose clock jumps does not die of it.
  started_at timestamptz not null default clock_timestamp(),
  seen_at timestamptz not null default clock_timestamp()
);
