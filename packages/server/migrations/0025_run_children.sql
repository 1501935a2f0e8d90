-- The runs below a run: the pages of a run ask for them.
create index tracking_tag_parent on tracking_tag (value) where key = 'mlflow.parentRunId';
