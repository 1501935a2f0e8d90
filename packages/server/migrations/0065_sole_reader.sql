-- A process that alone reads a view, and may do so from its memory: others change the view only when it has given that up, or has had the time to notice.
alter table feature_online add column sole_reader text;
alter table feature_online add column sole_revoked boolean not null default false;

create function feature_refuse_change() returns bigint language plpgsql volatile as $$
begin
  raise exception 'another process reads this view from its memory' using errcode = 'MR001';
end $$;
