-- When a row of a view that says when its rows were created became known: the later of its moment and its creation. Null: its moment.
alter table feature_row add column known bigint;

-- The moment, in milliseconds since 1970, that a view with a schedule was last materialized for.
alter table feature_online add column materialized_for bigint;
