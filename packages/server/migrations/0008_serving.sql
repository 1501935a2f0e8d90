-- Serving: what each endpoint answers with, how a new version takes over, and what was predicted.
create table endpoint_state (
  endpoint text primary key,
  stable int,
  -- Rows predicted, and requests that no version could answer.
  predictions bigint not null default 0,
  errors bigint not null default 0
);

create table rollout (
  -- The endpoint and the number of the event that began it: the same event begins it once.
  id text primary key,
  endpoint text not null,
  candidate int not null,
  stable int,
  state text not null check (state in ('running', 'promoted', 'rolled_back', 'superseded')),
  weight double precision not null,
  step int not null,
  started_at timestamptz not null,
  step_started_at timestamptz not null,
  finished_at timestamptz,
  reason text,
  -- Requests that the candidate was to answer, and those of them that it failed.
  requests bigint not null default 0,
  errors bigint not null default 0
);
create unique index rollout_running on rollout (endpoint) where state = 'running';
create index rollout_of on rollout (endpoint, started_at desc);

-- The prediction log: Parquet objects, each of a span of time.
create table prediction_segment (
  id bigint generated always as identity primary key,
  endpoint text not null,
  digest text not null,
  rows int not null,
  bytes bigint not null,
  from_at timestamptz not null,
  to_at timestamptz not null,
  -- The least and the greatest id by their bytes: ids that grow with time are found in few segments.
  first_id text collate "C" not null,
  last_id text collate "C" not null,
  -- The file that it was made of: sealed once, however often that is tried.
  spool text not null unique,
  -- Merged into another one; its object goes when nobody can be reading it any more.
  replaced_at timestamptz
);
create index prediction_segment_time on prediction_segment (endpoint, to_at);

create table prediction_label (
  endpoint text not null,
  id text not null,
  label double precision not null,
  at timestamptz not null,
  primary key (endpoint, id)
);
create index prediction_label_time on prediction_label (endpoint, at);
