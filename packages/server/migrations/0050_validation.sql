-- Statistics of a table's columns, by the digest of its contents: equal contents are read once.
create table table_statistics (
  digest text primary key,
  -- Of how they were made: those of another form are made anew.
  form int not null,
  rows bigint not null,
  columns jsonb not null,
  made_at timestamptz not null
);

-- What a person decided about a version that validation refused.
create table quarantine_decision (
  dataset text not null,
  version int not null,
  decision text not null check (decision in ('accepted', 'rejected')),
  reason text not null,
  decided_by text not null,
  decided_at timestamptz not null,
  -- The version that an acceptance made: what was refused stays as it was.
  accepted_as int,
  primary key (dataset, version),
  foreign key (dataset, version) references dataset_version (dataset, version) on delete cascade,
  check ((decision = 'accepted') = (accepted_as is not null))
);
create unique index quarantine_decision_made on quarantine_decision (dataset, accepted_as) where accepted_as is not null;
