-- Datasets: every arrival is a version. The parts of an accepted one are those of the accepted versions up to it, from the last snapshot on.
create table dataset_version (
  dataset text not null,
  version int not null,
  status text not null check (status in ('accepted', 'quarantined')),
  mode text not null check (mode in ('append', 'snapshot')),
  -- Over the digests of the parts: equal digests are equal contents.
  digest text not null,
  rows bigint not null,
  bytes bigint not null,
  part_digest text not null,
  part_rows bigint not null,
  part_bytes bigint not null,
  file text not null,
  part_from timestamptz,
  part_to timestamptz,
  -- Of the rules it was checked against: refused content is looked at again when they change.
  rules text not null,
  anomalies int not null,
  report jsonb,
  created_at timestamptz not null,
  primary key (dataset, version)
);
create index dataset_version_content on dataset_version (dataset, part_digest);
create index dataset_version_accepted on dataset_version (dataset, version) where status = 'accepted';

-- What was seen in watched folders. A file is taken when two looks in a row found it the same.
create table dataset_watched_file (
  dataset text not null,
  file text not null,
  -- Size, change time and number of the file.
  stamp text not null,
  -- The rules under which this stamp was taken; null where it is not taken yet.
  taken text,
  primary key (dataset, file)
);
