-- What tells this database from others where both keep features in one Redis.
create table feature_store (id int primary key default 1 check (id = 1), identity text not null default gen_random_uuid()::text);
insert into feature_store default values;
