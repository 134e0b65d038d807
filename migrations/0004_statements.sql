-- What was known when. Every statement about a customer, product or event is kept and none is ever changed: what
-- is believed now, or was believed at any moment, follows from the statements alone, in whatever order they came.
--
-- Two times belong to each: `event_time`, since when it is true, and `known_at`, when we learned it. A correction
-- repeats a statement's key under a higher `revision`; a `retracted` one takes the statement back. `known_at` is
-- later than the beginning of the transaction that writes it, and every such transaction holds a shared advisory
-- lock, so that a reader can tell up to which moment everything that was known is also visible
-- (services/feature-store/src/horizon.rs).
-- To undo: keep each view's rows as a table of its own, under its name; drop the statements.

drop view holdings;

create function announce_statements() returns trigger language plpgsql as $$
begin
    -- The bytes of "finr" and "know". The horizon looks for holders of this lock.
    perform pg_advisory_xact_lock_shared(1718185586, 1802399607);
    return null;
end
$$;

alter table customers rename to customer_statements;
alter table customer_statements rename column ingested_at to known_at;
alter table customer_statements
    alter column known_at set default clock_timestamp(),
    add column revision  integer not null default 0 check (revision >= 0),
    add column retracted boolean not null default false check (not retracted or revision > 0),
    drop constraint customers_pkey,
    add primary key (user_id, event_time, revision);
create index customer_statements_revised on customer_statements (user_id, event_time, revision)
    where revision > 0;
create trigger announce before insert on customer_statements
    for each statement execute function announce_statements();

alter table products rename to product_statements;
alter table product_statements rename column ingested_at to known_at;
alter table product_statements
    alter column known_at set default clock_timestamp(),
    add column revision  integer not null default 0 check (revision >= 0),
    add column retracted boolean not null default false check (not retracted or revision > 0),
    drop constraint products_pkey,
    add primary key (product_id, event_time, revision);
create index product_statements_revised on product_statements (product_id, event_time, revision)
    where revision > 0;
create trigger announce before insert on product_statements
    for each statement execute function announce_statements();

alter table events rename to event_statements;
alter table event_statements rename column ingested_at to known_at;
alter table event_statements
    alter column known_at set default clock_timestamp(),
    add column revision  integer not null default 0 check (revision >= 0),
    add column retracted boolean not null default false check (not retracted or revision > 0),
    drop constraint events_pkey,
    add primary key (user_id, event_id, revision);
create index event_statements_revised on event_statements (user_id, event_id, revision)
    where revision > 0;
alter index events_by_user_and_time rename to event_statements_by_user_and_time;
create index event_statements_by_product_and_time on event_statements (product_id, event_time);
create trigger announce before insert on event_statements
    for each statement execute function announce_statements();

-- What is believed now: of each statement the highest revision, unless it was taken back; of a customer or product
-- the latest statement. The indexes of revised statements, few as they are, answer whether there is a higher one.

create view customers as
select distinct on (user_id) user_id, attributes, event_time, known_at, ingest_seq
from customer_statements stated
where not retracted
  and not exists (
      select from customer_statements higher
      where higher.user_id = stated.user_id and higher.event_time = stated.event_time
        and higher.revision > stated.revision and higher.revision > 0
  )
order by user_id, event_time desc;

create view products as
select distinct on (product_id)
    product_id, product_class, name, description, issuer, risk_grade, status, attributes, event_time, known_at,
    ingest_seq
from product_statements stated
where not retracted
  and not exists (
      select from product_statements higher
      where higher.product_id = stated.product_id and higher.event_time = stated.event_time
        and higher.revision > stated.revision and higher.revision > 0
  )
order by product_id, event_time desc;

create view events as
select user_id, event_id, product_id, kind, event_time, quantity, amount_minor, currency_code, known_at, ingest_seq
from event_statements stated
where not retracted
  and not exists (
      select from event_statements higher
      where higher.user_id = stated.user_id and higher.event_id = stated.event_id
        and higher.revision > stated.revision and higher.revision > 0
  );

-- A customer holds a product when the latest of their 'acquired' and 'closed' events for it is 'acquired'; of
-- two events at the same time the one that was stored later counts.
create view holdings as
select user_id, product_id
from (
    select distinct on (user_id, product_id) user_id, product_id, kind
    from events
    where kind in ('acquired', 'closed')
    order by user_id, product_id, event_time desc, ingest_seq desc
) as latest
where kind = 'acquired';
