-- Monitoring: what each check of a monitor found, and what versions were trained on.
create table monitor_check (
  monitor text not null,
  at timestamptz not null,
  found jsonb not null,
  primary key (monitor, at)
);

create table monitor_reference (
  model text not null,
  version int not null,
  service_digest text not null,
  distribution jsonb not null,
  primary key (model, version, service_digest)
);
