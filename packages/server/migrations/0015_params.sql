-- Keeps a run's params, or raises where one of them has another value already: in the statement that writes the rest of the batch, so that
-- all of it is one trip and one commit. Two writers of one param wait for each other at its key, and the check sees what was committed then.
create function tracking_keep_params(run text, keys text[], vals text[]) returns int language plpgsql volatile as $$
declare
  changed record;
begin
  insert into tracking_param (run_id, key, value) select run, t.key, t.value from unnest(keys, vals) as t (key, value) order by t.key on conflict do nothing;
  select t.key, t.value as told, p.value as kept into changed
  from unnest(keys, vals) as t (key, value) join tracking_param p on p.run_id = run and p.key = t.key where p.value <> t.value order by t.key limit 1;
  if found then
    raise exception 'a param has another value' using errcode = 'MP001', detail = json_build_object('key', changed.key, 'told', changed.told, 'kept', changed.kept)::text;
  end if;
  return cardinality(keys);
end
$$;
