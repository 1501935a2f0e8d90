-- Watched git repositories, and what became of each commit that came.
create table repository (
  name text primary key,
  url text not null,
  folder text not null,
  branch text not null,
  tags text not null,
  poll_seconds int not null,
  -- Names of secrets.
  webhook_secret text,
  token text,
  checked boolean not null,
  -- Whose releases come from it.
  project text,
  looked_at timestamptz,
  -- Somebody said that there is something new.
  asked boolean not null default true,
  problem text,
  created_by text not null
);

create table repository_build (
  n bigint generated always as identity,
  id text primary key,
  repository text not null references repository on delete cascade,
  ref text not null,
  commit text not null,
  state text not null check (state in ('waiting', 'building', 'released', 'failed', 'superseded', 'known')),
  message text,
  release text,
  log text,
  found_at timestamptz not null,
  finished_at timestamptz,
  unique (repository, ref, commit)
);
create index repository_build_open on repository_build (n) where state in ('waiting', 'building');

-- What this server signs with what it releases by itself: one for all its processes, sealed as secrets are.
create table delivery_key (
  id int primary key check (id = 1),
  sealed bytea not null
);
