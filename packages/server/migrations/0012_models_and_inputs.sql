-- What MLflow's clients keep beside runs: the datasets that runs read, the models that they logged, and more about a registered version.

-- A metric is told to be of a run in the statement that inserts it; checked once a batch and not once a row.
alter table tracking_metric drop constraint tracking_metric_run_id_fkey;
alter table tracking_latest_metric drop constraint tracking_latest_metric_run_id_fkey;
-- Searches are within experiments and order by a metric: the index has both.
alter table tracking_latest_metric add column experiment_id bigint;
update tracking_latest_metric l set experiment_id = r.experiment_id from tracking_run r where r.id = l.run_id;
alter table tracking_latest_metric alter column experiment_id set not null;
drop index tracking_latest_metric_value;
create index tracking_latest_metric_value on tracking_latest_metric (experiment_id, key, value);
drop index tracking_run_of;
create index tracking_run_of on tracking_run (experiment_id, start_time desc, id);

create table tracking_dataset (
  id bigint generated always as identity primary key,
  experiment_id bigint not null references experiment,
  name text not null,
  digest text not null,
  source_type text not null,
  source text not null,
  schema text,
  profile text,
  unique (experiment_id, name, digest)
);
create table tracking_input (
  run_id text not null references tracking_run on delete cascade,
  dataset_id bigint not null references tracking_dataset,
  tags jsonb not null default '{}',
  primary key (run_id, dataset_id)
);
create index tracking_input_dataset on tracking_input (dataset_id);

create table logged_model (
  id text primary key,
  experiment_id bigint not null references experiment,
  name text not null,
  artifact_location text not null,
  status text not null check (status in ('LOGGED_MODEL_PENDING', 'LOGGED_MODEL_READY', 'LOGGED_MODEL_UPLOAD_FAILED')),
  model_type text,
  source_run_id text,
  lifecycle_stage text not null default 'active' check (lifecycle_stage in ('active', 'deleted')),
  creation_time bigint not null,
  last_update_time bigint not null,
  params jsonb not null default '{}',
  tags jsonb not null default '{}'
);
create index logged_model_of on logged_model (experiment_id, creation_time desc, id);
create index logged_model_run on logged_model (source_run_id);
-- Metrics of a run that tell of a model, on a dataset where one is named.
create table logged_model_metric (
  model_id text not null references logged_model on delete cascade,
  key text not null,
  run_id text not null,
  dataset_name text not null default '',
  dataset_digest text not null default '',
  step bigint not null,
  timestamp bigint not null,
  value double precision not null,
  primary key (model_id, key, run_id, dataset_name, dataset_digest, step, timestamp, value)
);
-- The models that a run made and those that it used.
create table tracking_run_model (
  run_id text not null references tracking_run on delete cascade,
  model_id text not null,
  role text not null check (role in ('input', 'output')),
  step bigint not null default 0,
  primary key (run_id, role, model_id, step)
);
create index tracking_run_model_model on tracking_run_model (model_id);

alter table model_version
  add column stage text not null default 'None' check (stage in ('None', 'Staging', 'Production', 'Archived')),
  add column user_id text,
  add column run_link text,
  add column logged_model_id text;
create index model_version_updated on model_version (updated_at desc, model, version desc);
create index model_version_tracking_run on model_version (tracking_run_id);
-- A model can be given another name.
alter table model_version drop constraint model_version_model_fkey;
alter table model_version add constraint model_version_model_fkey foreign key (model) references model on update cascade on delete cascade;
alter table model_alias drop constraint model_alias_model_version_fkey;
alter table model_alias add constraint model_alias_model_version_fkey
  foreign key (model, version) references model_version (model, version) on update cascade on delete cascade;

-- When it was deleted: an experiment's runs go and come back with it, those that were deleted before stay so.
alter table tracking_run add column deleted_time bigint;
alter table experiment add column deleted_time bigint;
