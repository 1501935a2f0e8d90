-- Schedules: those that are not defined in a project, what of a defined one was edited, and what became of each moment.
create table schedule (
  name text primary key,
  -- Of one that was made by API the whole of it; null where a project defines it.
  created jsonb,
  -- Settings that hold in place of the definition's.
  edited jsonb not null default '{}',
  -- null: as defined.
  paused boolean,
  edited_by text,
  -- Up to here moments are dealt with.
  looked_at timestamptz
);

create table schedule_firing (
  -- Derived from the schedule and the moment, and the id of the run.
  id text primary key,
  schedule text not null,
  moment timestamptz not null,
  due_at timestamptz not null,
  decided_at timestamptz,
  outcome text not null check (outcome in ('waiting', 'started', 'skipped', 'missed', 'failed')),
  manual boolean not null default false,
  reason text not null,
  params jsonb not null default '{}',
  -- The run was asked for: until then whoever looks asks again.
  asked boolean not null default false,
  -- How the run ended; null until then.
  run_state text
);
create index schedule_firing_of on schedule_firing (schedule, moment desc, id desc);
create index schedule_firing_open on schedule_firing (schedule, moment) where outcome = 'waiting' or (outcome = 'started' and run_state is null);
