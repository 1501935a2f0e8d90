-- Features online: for each view, the rows of its source by entity and moment.
create table feature_online (
  id int generated always as identity primary key,
  view text not null,
  -- Of what decides about the stored rows: another definition begins anew.
  digest text not null,
  -- Counts the changes of the rows; set last in each change, so that changes become visible in the order of their numbers.
  change bigint not null default 0,
  rows bigint not null default 0,
  newest bigint,
  unique (view, digest)
);

-- A row's moment is in microseconds since 1970. Equal rows of a window view are one with a number: the larger of those that one push
-- brought and of those that the dataset has.
create table feature_row (
  view int not null references feature_online on delete cascade,
  entity text not null,
  at bigint not null,
  key text not null,
  row_values text not null,
  pushed int not null,
  stored int not null,
  primary key (view, entity, at, key)
) with (fillfactor = 80);

-- The parts of the dataset that the rows hold, and the moments that each covers.
create table feature_part (
  view int not null references feature_online on delete cascade,
  part text not null,
  first bigint,
  last bigint,
  rows bigint not null,
  primary key (view, part)
);

-- What changed, for those who keep rows in memory; null where too much did. Old changes are dropped.
create table feature_change (
  view int not null references feature_online on delete cascade,
  change bigint not null,
  rows jsonb,
  primary key (view, change)
);
