-- Projects: every version that was applied, and the definitions that hold now.
create table project_version (
  -- Grows in the order of commits: applying is serialized. Processes compare it with what they have in memory.
  id bigint generated always as identity primary key,
  project text not null,
  version int not null,
  digest text not null,
  spec jsonb not null,
  commit text,
  dirty boolean not null,
  applied_at timestamptz not null,
  applied_by text not null,
  unique (project, version)
);

create table definition (
  kind text not null,
  name text not null,
  project text not null,
  -- The version that last changed it.
  project_version int not null,
  spec jsonb not null,
  primary key (kind, name)
);
create index definition_project on definition (project);
