-- Statements that state some attributes only, as Feast's clients push them. Such a statement holds the attributes that
-- were believed before it with its own over them, and names its own in `stated`; a statement without `stated` says all
-- that is known. Readers need not tell them apart.
--
-- What comes late under a pushed statement, pushed or whole, has to shine through it, or what is believed would depend
-- on the order of arrival. So whoever writes customers or products carries them over afterwards: the pushed statements
-- after the new one, up to the next whole one, are revised. Writers of one entity take turns by a lock; it is one of
-- 1,024, so that a transaction holds no more of them.
-- To undo: drop the functions, the indexes and the columns.

alter table customer_statements add column stated text[];
create index customer_statements_pushed on customer_statements (user_id, event_time) where stated is not null;

alter table product_statements add column stated text[];
create index product_statements_pushed on product_statements (product_id, event_time) where stated is not null;

create function take_turn(entity text, id text) returns void language sql as $$
    -- The bytes of "push".
    select pg_advisory_xact_lock(1886745448, hashtext(entity || id) & 1023)
$$;

-- What a pushed statement holds when it comes after others.
create function over_carried(carried jsonb, attributes jsonb, stated text[]) returns jsonb language sql immutable as $$
    select (carried - stated) || coalesce(jsonb_object_agg(own.name, own.value) filter (where own.name = any(stated)), '{}')
    from jsonb_each(attributes) as own (name, value)
$$;

create function carry_over_customer(whose text, since timestamptz) returns void language plpgsql as $$
declare
    carried jsonb;
    later   record;
begin
    perform take_turn('customer', whose);
    select attributes into carried
    from customer_statements base
    where user_id = whose and event_time <= since and not retracted
      and not exists (
          select from customer_statements higher
          where higher.user_id = base.user_id and higher.event_time = base.event_time
            and higher.revision > base.revision and higher.revision > 0
      )
    order by event_time desc
    limit 1;
    carried := coalesce(carried, '{}');
    for later in
        select event_time, revision, attributes, stated
        from customer_statements pushed
        where user_id = whose and event_time > since and not retracted
          and not exists (
              select from customer_statements higher
              where higher.user_id = pushed.user_id and higher.event_time = pushed.event_time
                and higher.revision > pushed.revision and higher.revision > 0
          )
        order by event_time
    loop
        exit when later.stated is null;
        carried := over_carried(carried, later.attributes, later.stated);
        exit when carried = later.attributes;
        insert into customer_statements (user_id, attributes, event_time, revision, stated)
        values (whose, carried, later.event_time, later.revision + 1, later.stated);
    end loop;
end
$$;

create function carry_over_product(whose text, since timestamptz) returns void language plpgsql as $$
declare
    carried jsonb;
    later   record;
begin
    perform take_turn('product', whose);
    select attributes into carried
    from product_statements base
    where product_id = whose and event_time <= since and not retracted
      and not exists (
          select from product_statements higher
          where higher.product_id = base.product_id and higher.event_time = base.event_time
            and higher.revision > base.revision and higher.revision > 0
      )
    order by event_time desc
    limit 1;
    carried := coalesce(carried, '{}');
    for later in
        select event_time, revision, attributes, stated
        from product_statements pushed
        where product_id = whose and event_time > since and not retracted
          and not exists (
              select from product_statements higher
              where higher.product_id = pushed.product_id and higher.event_time = pushed.event_time
                and higher.revision > pushed.revision and higher.revision > 0
          )
        order by event_time
    loop
        exit when later.stated is null;
        carried := over_carried(carried, later.attributes, later.stated);
        exit when carried = later.attributes;
        insert into product_statements
            (product_id, product_class, name, description, issuer, risk_grade, status, attributes, event_time,
             revision, stated)
        select product_id, product_class, name, description, issuer, risk_grade, status, carried, event_time,
               revision + 1, stated
        from product_statements
        where product_id = whose and event_time = later.event_time and revision = later.revision;
    end loop;
end
$$;

-- For whoever has written statements, once they are committed: of the statements pushed meanwhile some have not seen
-- them. In the order of the locks, so that two of them cannot wait for each other.
create function carry_over_customers(ids text[], event_times timestamptz[]) returns void language plpgsql as $$
begin
    if exists (select from customer_statements where stated is not null) then
        perform carry_over_customer(late.id, late.event_time)
        from (
            select id, event_time
            from unnest(ids, event_times) as written (id, event_time)
            where exists (
                select from customer_statements pushed
                where pushed.user_id = id and pushed.event_time > written.event_time and pushed.stated is not null
            )
            order by hashtext('customer' || id) & 1023, event_time
        ) as late;
    end if;
end
$$;

create function carry_over_products(ids text[], event_times timestamptz[]) returns void language plpgsql as $$
begin
    if exists (select from product_statements where stated is not null) then
        perform carry_over_product(late.id, late.event_time)
        from (
            select id, event_time
            from unnest(ids, event_times) as written (id, event_time)
            where exists (
                select from product_statements pushed
                where pushed.product_id = id and pushed.event_time > written.event_time and pushed.stated is not null
            )
            order by hashtext('product' || id) & 1023, event_time
        ) as late;
    end if;
end
$$;
