-- What the requirements of models were locked to, by a digest of the requirements, the version of Python and the kind of machine: the same model has the same
-- packages on every server and on every day.
create table model_locks (
  wanted text primary key,
  lock text not null,
  created_at timestamptz not null default now()
);
