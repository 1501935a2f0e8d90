-- Promotions: what was asked to come into an environment, how far it is, and what was decided about it.
create table promotion (
  n bigint generated always as identity primary key,
  id text not null unique,
  project text not null,
  environment text not null,
  kind text not null check (kind in ('release', 'model')),
  -- What of the environment it takes the place of: the project, or a model by its name.
  name text not null,
  release text references release,
  version int,
  rollback boolean not null,
  state text not null check (state in ('checking', 'waiting', 'deploying', 'deployed', 'refused', 'failed', 'superseded', 'cancelled')),
  message text,
  reason text,
  authors jsonb not null,
  requested_by text not null,
  requested_at timestamptz not null,
  -- When it was handed to what deploys it.
  began_at timestamptz,
  finished_at timestamptz
);
create index promotion_open on promotion (n) where state in ('checking', 'waiting', 'deploying');
create index promotion_of on promotion (project, environment, kind, name, n desc);
-- One thing at a time comes to a place.
create unique index promotion_deploying on promotion (project, environment, kind, name) where state = 'deploying';

create table promotion_decision (
  n bigint generated always as identity primary key,
  promotion text not null,
  at timestamptz not null,
  by text not null,
  kind text not null,
  gate text,
  passed boolean,
  message text not null,
  evidence jsonb not null default '[]'
);
create index promotion_decision_of on promotion_decision (promotion, n);

-- What was decided, checked and signed is only ever added to.
create function only_added() returns trigger language plpgsql as $$
begin
  raise exception 'rows of % are never changed or deleted', tg_table_name;
end
$$;
create trigger only_added before update or delete or truncate on promotion_decision for each statement execute function only_added();
create trigger only_added before update or delete or truncate on release_check for each statement execute function only_added();
create trigger only_added before update or delete or truncate on signature for each statement execute function only_added();
