-- A refresh that writes as fast as a bare COPY, and reads whom it writes of in one pass.
--
-- The rows of a run lie together in the key, and are written in its order: beside an older generation's rows a key that
-- leads with the customer splits every page of the index that it touches. It still holds `user_id`, so that the table can
-- be distributed by it. Looking up a reference for every row cost more than all the rest of writing it; a run that is
-- dropped takes its embeddings with it by a trigger instead, and a worker whose run was dropped meanwhile finds that out
-- before it commits.
-- To undo: drop the trigger, its function and the index; restore both constraints of 0002.

alter table user_embeddings
    drop constraint user_embeddings_run_id_fkey,
    drop constraint user_embeddings_pkey,
    add primary key (run_id, user_id);

create function drop_user_embeddings() returns trigger language plpgsql as $$
begin
    delete from user_embeddings where run_id = old.run_id;
    return null;
end
$$;

create trigger drop_embeddings after delete on refresh_runs
    for each row execute function drop_user_embeddings();

-- Of all that a customer did, the few events that decide on what is held, in the order in which `holdings` looks at them.
create index event_statements_held on event_statements (user_id, product_id, event_time desc, ingest_seq desc)
    where kind in ('acquired', 'closed');
