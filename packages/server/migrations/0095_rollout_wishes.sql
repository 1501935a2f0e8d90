-- What an alias is to begin at an endpoint, until the version is in memory and it has begun. A newer change of the same alias takes the place of one that waits.
create table rollout_wish (
  endpoint text not null,
  -- champion: all traffic; trial: what is tried beside it
  slot text not null check (slot in ('champion', 'trial')),
  -- of the rollout that it becomes
  id text not null,
  alias text not null,
  version integer not null,
  asked bigint generated always as identity,
  primary key (endpoint, slot)
);
