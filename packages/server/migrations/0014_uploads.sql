-- Files that clients bring to the object store themselves. The store has them under the id, until the server takes them over.
create table tracking_upload (
  id text primary key,
  -- That of the artifact that it is to be.
  path text not null,
  kind text not null check (kind in ('whole', 'parts')),
  -- Of parts: the store's own name of it.
  store_upload text,
  state text not null default 'open' check (state in ('open', 'done', 'aborted')),
  -- Until then its addresses are good.
  until timestamptz not null,
  -- Which content was taken over last. A whole can be sent again for as long as its address is good.
  taken text,
  looked_at timestamptz
);
create index tracking_upload_path on tracking_upload (path text_pattern_ops) where kind = 'whole';
create index tracking_upload_until on tracking_upload (until);
