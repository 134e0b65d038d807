-- Lets a cache hear of what makes something kept wrong: ten times a second it asks what became known since it asked
-- before. That is found by b-trees: a block range that is not summarised yet, as after a bulk load, would be read whole
-- at each asking.
-- To undo: make the three indexes brin again, as in 0007.

drop index customer_statements_by_known_at, product_statements_by_known_at, event_statements_by_known_at;
create index customer_statements_by_known_at on customer_statements (known_at);
create index product_statements_by_known_at on product_statements (known_at);
create index event_statements_by_known_at on event_statements (known_at);
