-- What is held follows from times and kinds alone. Until now, of a customer's 'acquired' and 'closed' events for a product
-- at one time, as dates without a time of day have them, the one that was stored later counted: the order of a file
-- decided, and a correction of what the acquired one cost made a closed product held again. Now what is acquired and
-- closed at one time is closed; of two of one kind either says the same.
-- To undo: make the view of 0004 and the index of 0014 anew.

create or replace view holdings as
select user_id, product_id
from (
    select distinct on (user_id, product_id) user_id, product_id, kind
    from events
    where kind in ('acquired', 'closed')
    -- 'closed' is the later word in any collation.
    order by user_id, product_id, event_time desc, kind desc
) as latest
where kind = 'acquired';

drop index event_statements_held;
create index event_statements_held on event_statements (user_id, product_id, event_time desc, kind desc)
    where kind in ('acquired', 'closed');
