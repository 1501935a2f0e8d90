-- Releases: immutable versions of projects, named by the digest of their manifest, with what was signed and checked of them.
create table release (
  n bigint generated always as identity,
  digest text primary key,
  project text not null,
  manifest jsonb not null,
  -- Who may not approve it: whoever made it known, and the authors of its commit.
  authors jsonb not null,
  created_by text not null,
  created_at timestamptz not null
);
create index release_of on release (project, n desc);

create table release_check (
  n bigint generated always as identity primary key,
  release text not null references release,
  passed boolean not null,
  summary text not null,
  report text,
  added_by text not null,
  added_at timestamptz not null
);
create index release_check_of on release_check (release, n desc);

-- Of a release (its digest) or of a model's version (`name/3`).
create table signature (
  subject text not null,
  -- Of the signature's bytes: sent twice, it is there once.
  digest text not null,
  key text not null,
  signature jsonb not null,
  added_by text not null,
  added_at timestamptz not null,
  primary key (subject, digest)
);
