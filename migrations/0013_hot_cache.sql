-- Lets a cache hear of everything that makes something kept wrong: ten times a second it asks what became known since
-- it asked before.
--
-- An erasure now takes part in the horizon, as statements do: it is announced before its time is taken. What became
-- known lately is found by b-trees: a block range that is not summarised yet, as after a bulk load, would be read
-- whole at each asking.
-- To undo: drop the trigger on erasures; make the three indexes brin again, as in 0007.

create trigger announce before insert on erasures
    for each statement execute function announce_statements();

drop index customer_statements_by_known_at, product_statements_by_known_at, event_statements_by_known_at;
create index customer_statements_by_known_at on customer_statements (known_at);
create index product_statements_by_known_at on product_statements (known_at);
create index event_statements_by_known_at on event_statements (known_at);
