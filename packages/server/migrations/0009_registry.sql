-- Registry: named models, their immutable versions, and the aliases that say what a version is for.
create table model (
  name text primary key,
  description text,
  tags jsonb not null default '{}',
  created_at timestamptz not null,
  updated_at timestamptz not null,
  -- The version that was given out last: numbers are never used again.
  last_version int not null default 0
);

create table model_version (
  model text not null references model on delete cascade,
  version int not null,
  -- Of all its files together: equal digests are equal models.
  digest text not null,
  files jsonb not null,
  service text,
  -- The pipeline run that registered it, and the run that was tracked.
  run_id text,
  tracking_run_id text,
  -- Where another client said that its files lie.
  source text,
  description text,
  tags jsonb not null default '{}',
  metrics jsonb not null,
  gates jsonb not null,
  report jsonb,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (model, version)
);
create index model_version_digest on model_version (model, digest);
create unique index model_version_run on model_version (model, run_id, digest) where run_id is not null;

create table model_alias (
  model text not null,
  alias text not null,
  version int not null,
  set_at timestamptz not null,
  primary key (model, alias),
  foreign key (model, version) references model_version (model, version) on delete cascade
);
