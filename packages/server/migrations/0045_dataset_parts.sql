-- A version adds any number of parts: the files of a folder, a part for each partition.
create table dataset_part (
  dataset text not null,
  version int not null,
  place int not null,
  digest text not null,
  rows bigint not null,
  bytes bigint not null,
  file text not null,
  -- The key of the partition that it belongs to, where the dataset has partitions.
  partition text,
  from_at timestamptz,
  to_at timestamptz,
  primary key (dataset, version, place),
  foreign key (dataset, version) references dataset_version (dataset, version)
);
insert into dataset_part (dataset, version, place, digest, rows, bytes, file, from_at, to_at)
  select dataset, version, 0, part_digest, part_rows, part_bytes, file, part_from, part_to from dataset_version;

-- What came in, before it was made Parquet: a file by its digest, a push by its id, a step by its run. The same comes in once.
alter table dataset_version add column source text;
update dataset_version set source = part_digest;
alter table dataset_version alter column source set not null;
drop index dataset_version_content;
create index dataset_version_source on dataset_version (dataset, source);
alter table dataset_version rename column part_digest to added_digest;
alter table dataset_version rename column part_rows to added_rows;
alter table dataset_version rename column part_bytes to added_bytes;
alter table dataset_version rename column part_from to added_from;
alter table dataset_version rename column part_to to added_to;
-- Where it came from: {kind, of, by, run, step}. And the columns of the whole as of this version: [{name, type}].
alter table dataset_version add column origin jsonb, add column columns jsonb;
