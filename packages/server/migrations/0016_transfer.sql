-- Moving in: where an experiment or a model came from, so that what is brought again finds it; and a note on a run of what of it has arrived.
alter table experiment add column imported_from text unique;
alter table model add column imported_from text unique;
alter table tracking_run add column import_mark text;
