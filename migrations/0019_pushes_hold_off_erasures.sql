-- Whoever makes pushed statements has read what is believed of somebody, and writes it again. Nobody may be erased in
-- between, or they would come back: so an erasure and whoever takes a turn wait for each other, as live embeddings and
-- erasures do (services/feature-store/src/people/erase.rs). That lock comes first: whoever waits for a turn waits for
-- someone who has it.
-- To undo: make the function of 0011 anew.

create or replace function take_turn(entity text, id text) returns void language sql as $$
    -- The bytes of "finr" and "eras". Products are not erased.
    select pg_advisory_xact_lock_shared(1718185586, 1701994867) where entity = 'customer';
    -- The bytes of "push".
    select pg_advisory_xact_lock(1886745448, hashtext(entity || id) & 1023)
$$;
