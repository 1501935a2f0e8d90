-- Access: who may use the platform besides its single user, and the key that signs short-lived tokens.
create table principal (
  name text primary key,
  role text not null check (role in ('viewer', 'editor', 'admin')),
  token_digest text not null unique,
  created_at timestamptz not null
);

create table access_key (
  id int primary key check (id = 1),
  key bytea not null
);
