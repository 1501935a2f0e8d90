-- Backfills: a run of a pipeline for each of many values of a param.
create table backfill (
  id text primary key,
  n bigint generated always as identity unique,
  pipeline text not null,
  param text not null,
  params jsonb not null,
  at_once int not null,
  state text not null check (state in ('running', 'paused', 'succeeded', 'failed', 'cancelled')),
  message text,
  created_by text not null,
  created_at timestamptz not null,
  finished_at timestamptz
);
create index backfill_open on backfill (n) where state = 'running';

create table backfill_item (
  backfill text not null references backfill,
  n int not null,
  value jsonb not null,
  state text not null check (state in ('waiting', 'running', 'succeeded', 'refused', 'failed', 'cancelled', 'skipped')),
  attempt int not null default 0,
  run_id text,
  -- The run was asked for: until then whoever looks asks again.
  asked boolean not null default false,
  message text,
  primary key (backfill, n)
);
create index backfill_item_running on backfill_item (backfill) where state = 'running';
create index backfill_item_waiting on backfill_item (backfill, n) where state = 'waiting';
