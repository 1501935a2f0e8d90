-- Rows of each endpoint by what became of them in the prediction log: there, left out by its sample, or lost where it need not have all.
alter table endpoint_state
  add column logged bigint not null default 0,
  add column sampled_out bigint not null default 0,
  add column dropped bigint not null default 0;
update endpoint_state set logged = predictions;
