-- Large batches of metrics whose latest values are still to be told to tracking_latest_metric: written in the statement that keeps the points, and
-- gone when whoever reads latest values, or a process a moment later, has told those of many batches at once. An update of a latest value moves a row
-- that two indexes must see anew; a training run that logs a thousand metrics ten times a second needs it once and not ten times.
create table tracking_unsettled (
  n bigint generated always as identity primary key,
  run_id text not null references tracking_run on delete cascade,
  experiment_id bigint not null,
  -- One element a point.
  keys text[] not null,
  steps bigint[] not null,
  timestamps bigint[] not null,
  vals double precision[] not null
);
-- Here for a second: to compress it would take longer than it takes to write it.
alter table tracking_unsettled alter column keys set storage external, alter column steps set storage external,
  alter column timestamps set storage external, alter column vals set storage external;
