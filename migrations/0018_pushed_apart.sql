-- Pushed statements in numbers of their own. Until now they took revisions, as clients do: a whole statement at the time
-- of a pushed one, and a correction whose revision a push had taken, were lost as duplicates.
--
-- `pushed` is 0 in what clients state whole, under their own revisions; what the store makes of what was pushed at a time
-- counts from 1 there. Of one time the highest revision is the whole statement, unless it takes it back, and what was
-- pushed lies over it, whichever came first. What is believed is therefore the highest `pushed`, and of what was not
-- pushed the highest `revision`.
--
-- A pushed product is all that its base is but for the attributes that were pushed: class, name, status and grade shine
-- through it, too. If all that lies under it is taken back it is no product, and retracted until there is one again.
-- To undo: make the functions and views of 0011 and 0004 anew, move pushed statements behind the highest revision of
-- their time, restore key, indexes and check; drop the columns.

alter table customer_statements
    add column pushed integer not null default 0 check (pushed >= 0),
    drop constraint customer_statements_pkey;
-- Those that count keep counting; one that a later revision has replaced stays beneath that.
update customer_statements as moved set pushed = revision + 1, revision = 0
where stated is not null
  and not exists (
      select from customer_statements higher
      where higher.user_id = moved.user_id and higher.event_time = moved.event_time
        and higher.revision > moved.revision and higher.stated is null
  );
alter table customer_statements
    add primary key (user_id, event_time, pushed, revision),
    add check (pushed = 0 or stated is not null);
drop index customer_statements_revised, customer_statements_pushed;
create index customer_statements_revised on customer_statements (user_id, event_time, pushed, revision)
    where pushed > 0 or revision > 0;
create index customer_statements_pushed on customer_statements (user_id, event_time) where pushed > 0;

alter table product_statements
    add column pushed integer not null default 0 check (pushed >= 0),
    drop constraint product_statements_pkey,
    drop constraint product_statements_check;
update product_statements as moved set pushed = revision + 1, revision = 0
where stated is not null
  and not exists (
      select from product_statements higher
      where higher.product_id = moved.product_id and higher.event_time = moved.event_time
        and higher.revision > moved.revision and higher.stated is null
  );
alter table product_statements
    add primary key (product_id, event_time, pushed, revision),
    add check (pushed = 0 or stated is not null),
    add check (not retracted or revision > 0 or pushed > 0);
drop index product_statements_revised, product_statements_pushed;
create index product_statements_revised on product_statements (product_id, event_time, pushed, revision)
    where pushed > 0 or revision > 0;
create index product_statements_pushed on product_statements (product_id, event_time) where pushed > 0;

create or replace view customers as
select distinct on (user_id) user_id, attributes, event_time, known_at, ingest_seq
from customer_statements stated
where not retracted
  and not exists (
      select from customer_statements higher
      where higher.user_id = stated.user_id and higher.event_time = stated.event_time
        and (higher.pushed, higher.revision) > (stated.pushed, stated.revision)
        and (higher.pushed > 0 or higher.revision > 0)
  )
order by user_id, event_time desc;

create or replace view products as
select distinct on (product_id)
    product_id, product_class, name, description, issuer, risk_grade, status, attributes, event_time, known_at,
    ingest_seq
from product_statements stated
where not retracted
  and not exists (
      select from product_statements higher
      where higher.product_id = stated.product_id and higher.event_time = stated.event_time
        and (higher.pushed, higher.revision) > (stated.pushed, stated.revision)
        and (higher.pushed > 0 or higher.revision > 0)
  )
order by product_id, event_time desc;

-- Makes pushed statements anew from a time on, as far as what lies under them has changed. Of each time it looks at the
-- whole statement, and then at what was pushed over it.
create or replace function carry_over_customer(whose text, since timestamptz) returns void language plpgsql as $$
declare
    carried jsonb;
    made    jsonb;
    said    record;
begin
    perform take_turn('customer', whose);
    select attributes into carried
    from customer_statements base
    where user_id = whose and event_time < since and not retracted
      and not exists (
          select from customer_statements higher
          where higher.user_id = base.user_id and higher.event_time = base.event_time
            and (higher.pushed, higher.revision) > (base.pushed, base.revision)
            and (higher.pushed > 0 or higher.revision > 0)
      )
    order by event_time desc
    limit 1;
    carried := coalesce(carried, '{}');
    for said in
        select event_time, attributes, retracted, stated, pushed
        from customer_statements latest
        where user_id = whose and event_time >= since
          and not exists (
              select from customer_statements higher
              where higher.user_id = latest.user_id and higher.event_time = latest.event_time
                and (higher.pushed > 0) = (latest.pushed > 0)
                and (higher.pushed, higher.revision) > (latest.pushed, latest.revision)
                and (higher.pushed > 0 or higher.revision > 0)
          )
        order by event_time, pushed
    loop
        if said.pushed = 0 then
            continue when said.retracted;
            exit when said.event_time > since;
            carried := said.attributes;
        else
            made := over_carried(carried, said.attributes, said.stated);
            exit when made = said.attributes;
            insert into customer_statements (user_id, attributes, event_time, stated, pushed)
            values (whose, made, said.event_time, said.stated, said.pushed + 1);
            carried := made;
        end if;
    end loop;
end
$$;

create or replace function carry_over_product(whose text, since timestamptz) returns void language plpgsql as $$
declare
    carried product_statements; -- null while there is no product
    made    product_statements;
    said    product_statements;
begin
    perform take_turn('product', whose);
    select base.* into carried
    from product_statements base
    where product_id = whose and event_time < since and not retracted
      and not exists (
          select from product_statements higher
          where higher.product_id = base.product_id and higher.event_time = base.event_time
            and (higher.pushed, higher.revision) > (base.pushed, base.revision)
            and (higher.pushed > 0 or higher.revision > 0)
      )
    order by event_time desc
    limit 1;
    for said in
        select latest.*
        from product_statements latest
        where product_id = whose and event_time >= since
          and not exists (
              select from product_statements higher
              where higher.product_id = latest.product_id and higher.event_time = latest.event_time
                and (higher.pushed > 0) = (latest.pushed > 0)
                and (higher.pushed, higher.revision) > (latest.pushed, latest.revision)
                and (higher.pushed > 0 or higher.revision > 0)
          )
        order by event_time, pushed
    loop
        if said.pushed = 0 then
            continue when said.retracted;
            exit when said.event_time > since;
            carried := said;
        else
            made := said;
            made.retracted := carried.product_id is null;
            made.attributes := over_carried(coalesce(carried.attributes, '{}'), said.attributes, said.stated);
            if not made.retracted then
                made.product_class := carried.product_class;
                made.name := carried.name;
                made.description := carried.description;
                made.issuer := carried.issuer;
                made.risk_grade := carried.risk_grade;
                made.status := carried.status;
            end if;
            exit when made is not distinct from said;
            -- `known_at` is the default's to say, after the lock that holds back the horizon.
            insert into product_statements
                (product_id, product_class, name, description, issuer, risk_grade, status, attributes, event_time,
                 retracted, stated, pushed)
            values
                (made.product_id, made.product_class, made.name, made.description, made.issuer, made.risk_grade,
                 made.status, made.attributes, made.event_time, made.retracted, made.stated, said.pushed + 1);
            if not made.retracted then
                carried := made;
            end if;
        end if;
    end loop;
end
$$;

create or replace function carry_over_customers(ids text[], event_times timestamptz[])
returns void language plpgsql as $$
begin
    if exists (select from customer_statements where pushed > 0) then
        perform carry_over_customer(late.id, late.event_time)
        from (
            select id, event_time
            from unnest(ids, event_times) as written (id, event_time)
            where exists (
                select from customer_statements over
                where over.user_id = id and over.event_time >= written.event_time and over.pushed > 0
            )
            order by hashtext('customer' || id) & 1023, event_time
        ) as late;
    end if;
end
$$;

create or replace function carry_over_products(ids text[], event_times timestamptz[])
returns void language plpgsql as $$
begin
    if exists (select from product_statements where pushed > 0) then
        perform carry_over_product(late.id, late.event_time)
        from (
            select id, event_time
            from unnest(ids, event_times) as written (id, event_time)
            where exists (
                select from product_statements over
                where over.product_id = id and over.event_time >= written.event_time and over.pushed > 0
            )
            order by hashtext('product' || id) & 1023, event_time
        ) as late;
    end if;
end
$$;

-- Products that were withdrawn or graded anew under a pushed statement, and do not show it yet.
select carry_over_products(array_agg(product_id), array_agg(event_time)) from product_statements where pushed > 0;
