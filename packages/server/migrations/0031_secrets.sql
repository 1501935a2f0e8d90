-- Secrets: values that steps are given by name. What is kept is encrypted with a key that is not in the database.
create table secret (
  name text primary key,
  -- AES-256-GCM: nonce (12 bytes), text, tag (16 bytes). The name is authenticated with it.
  sealed bytea not null,
  set_by text not null,
  set_at timestamptz not null
);
