-- A model whose user tower reads features of views reads every event of a customer, not only those that decide what the
-- customer holds. So where such a model is registered, each event changes whom it is of.
-- To undo: make the view as 0010 has it, and refresh such models fully each time.

create or replace view changes as
select 'user' as entity, user_id as id, known_at from customer_statements
union all
-- Of events those that decide what a customer holds, and whatever corrects or takes back another one, which may have.
-- The models are asked once for a query, not for each event.
select 'user', user_id, known_at from event_statements
where kind in ('acquired', 'closed') or revision > 0
   or (select exists (select from model_versions where manifest -> 'feature_set' is not null))
union all
select 'product', product_id, known_at from product_statements;
