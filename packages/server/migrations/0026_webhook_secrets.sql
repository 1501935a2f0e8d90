-- Webhooks' secrets are encrypted as those of steps are, with a key that is not in the database. What was kept in `secret` before is moved
-- to `sealed` by the first process that starts.
alter table webhook add column sealed bytea;
