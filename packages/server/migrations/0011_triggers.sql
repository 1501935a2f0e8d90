-- Triggers: what each has seen and started.
create table trigger_state (
  trigger text primary key,
  paused boolean not null default false,
  -- Up to here cron moments are dealt with.
  looked_at timestamptz,
  cool_down_until timestamptz,
  -- Conditions that hold and wait for the end of the cool-down, so that they are told once.
  deferred text[] not null default '{}'
);

create table firing (
  id text primary key,
  trigger text not null,
  at timestamptz not null,
  condition text not null,
  outcome text not null check (outcome in ('started', 'skipped', 'deferred')),
  reason text not null,
  run_id text,
  -- The run was asked for: until then the next tick asks again.
  asked boolean not null default true
);
create index firing_of on firing (trigger, at desc);
