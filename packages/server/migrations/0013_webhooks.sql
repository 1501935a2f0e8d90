-- Webhooks: who wants to hear what of the registry, and what was or is to be told.
create table webhook (
  id text primary key,
  -- The order in which they were made.
  n bigint generated always as identity unique,
  name text not null,
  url text not null,
  description text,
  status text not null check (status in ('ACTIVE', 'DISABLED')),
  -- Signs what is told; is never answered.
  secret text,
  -- `<entity>.<action>`
  events text[] not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create table webhook_delivery (
  id text primary key,
  n bigint generated always as identity unique,
  webhook_id text not null references webhook on delete cascade,
  -- Told again by the outbox, it is the same delivery.
  event_id bigint not null,
  event text not null,
  body text not null,
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed', 'dropped')),
  -- When the next attempt is due, by PostgreSQL's clock; while one is under way, when it counts as lost.
  due_at timestamptz not null default clock_timestamp(),
  attempt int not null default 0,
  -- JSON: {attempt, at, status, durationMs, error}[]
  attempts jsonb not null default '[]',
  created_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  unique (webhook_id, event_id)
);
create index webhook_delivery_due on webhook_delivery (webhook_id, due_at) where state = 'pending';
create index webhook_delivery_of on webhook_delivery (webhook_id, n desc);
