-- The platform: the replayed clock, and the outbox of events.
create table clock (
  id int primary key check (id = 1),
  replayed_to timestamptz not null
);

create table event (
  id bigint generated always as identity primary key,
  -- The transaction that wrote it: readers take only what is older than every transaction still open.
  xid xid8 not null default pg_current_xact_id(),
  type text not null,
  subject text not null,
  data jsonb not null,
  at timestamptz not null
);
create index event_order on event (xid, id);

create table event_position (
  subscriber text primary key,
  xid xid8 not null,
  event_id bigint not null
);
