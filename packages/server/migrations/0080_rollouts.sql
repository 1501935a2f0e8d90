-- Rollouts of every kind, and how each serving process comes to know of them.

alter table endpoint_state
  -- Versions that answered before, the last one first: where a rollback goes.
  add column earlier int[] not null default '{}',
  -- Versions that every process is to have in memory before they are asked.
  add column warming int[] not null default '{}',
  -- The kill switch.
  add column killed_at timestamptz,
  add column killed_by text,
  add column killed_reason text;

-- Counts changes of what endpoints answer by. Its row's lock puts them in an order, so that whoever has seen a number has seen all changes up to it.
create table serving_epoch (
  id int primary key default 1 check (id = 1),
  epoch bigint not null
);
insert into serving_epoch (epoch) values (1);

create table serving_process (
  id text primary key,
  -- It answers by what was so at this number, or by something newer.
  acknowledged bigint not null,
  -- By `endpoint/version`: `ready`, or why it can't be loaded.
  warm jsonb not null default '{}',
  seen_at timestamptz not null
);

alter table rollout
  -- In the order in which they began: on a replayed clock several begin at one moment.
  add column ordinal bigint generated always as identity,
  add column kind text not null default 'canary',
  -- As it was defined when it began.
  add column plan jsonb not null default '{"kind": "canary", "steps": [1], "each": "1h", "judge": []}',
  -- Which part of the line of keys, 0 to 1, is whose.
  add column slots jsonb not null default '[]',
  add column begun_by text not null default 'millrace',
  add column paused_at timestamptz,
  add column result jsonb;
drop index rollout_of;
create index rollout_of on rollout (endpoint, ordinal desc);
update rollout set slots = jsonb_build_array(jsonb_build_object('version', candidate, 'from', 0, 'to', weight)) where state = 'running';
alter table rollout alter column kind drop default, alter column plan drop default, alter column slots drop default, alter column begun_by drop default;

-- What the versions of a rollout did while it ran, of all processes.
create table rollout_tally (
  rollout text not null references rollout (id) on delete cascade,
  version int not null,
  requests bigint not null default 0,
  errors bigint not null default 0,
  rows bigint not null default 0,
  -- Distributions: counts by bin.
  latency jsonb not null default '{}',
  predictions jsonb not null default '{}',
  -- Of a shadow: rows that were compared with what was answered, those that agreed, the sum of absolute differences, and copies that found no room.
  compared bigint not null default 0,
  agreed bigint not null default 0,
  difference double precision not null default 0,
  dropped bigint not null default 0,
  primary key (rollout, version)
);
insert into rollout_tally (rollout, version, requests, errors) select id, candidate, requests, errors from rollout where requests > 0;
alter table rollout drop column requests, drop column errors;

-- Everything that became of an endpoint's versions: who, when, why, and by which numbers.
create table rollout_event (
  id bigint generated always as identity primary key,
  endpoint text not null,
  rollout text,
  kind text not null,
  at timestamptz not null,
  by text not null,
  version int,
  weight double precision,
  reason text not null,
  numbers jsonb not null default '{}'
);
create index rollout_event_of on rollout_event (endpoint, id desc);
