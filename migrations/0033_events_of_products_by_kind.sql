-- A product's events are everybody's, and most are of a kind that no value counts, or older than any window. So they are
-- found by kind before time; whoever wants the newest of all looks once for each kind.
-- To undo: make the index of 0004 again.

drop index event_statements_by_product_and_time;
create index event_statements_by_product on event_statements (product_id, kind, event_time);
