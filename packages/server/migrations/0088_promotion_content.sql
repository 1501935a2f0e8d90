-- What is promoted is its content: a model that is deleted and made again numbers its versions from 1 again, and they are others.
alter table promotion add column content text;
update promotion set content = coalesce(release, (select digest from model_version v where v.model = promotion.name and v.version = promotion.version), '');
alter table promotion alter column content set not null;
