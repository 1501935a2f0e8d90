-- Rows that were pushed and answered for, and are not in a version yet: an object of JSON lines each.
create table dataset_push (
  id bigint generated always as identity primary key,
  dataset text not null,
  -- Of the sender: the same key is taken once.
  key text,
  digest text not null,
  rows int not null,
  bytes bigint not null,
  -- The version that took it in; a key is remembered beyond that.
  version int,
  created_at timestamptz not null,
  pushed_by text not null,
  unique (dataset, key)
);
create index dataset_push_waiting on dataset_push (dataset, id) where version is null;
