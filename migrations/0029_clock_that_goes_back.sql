-- A clock that goes back, by a step of NTP or since another host took over, loses nothing. What was written then had a
-- `known_at` before moments up to which everything that was known had been read already, so that no cache, no live
-- embedding and no feed of products ever heard of it.
--
-- Whoever reads up to a moment says so before it looks for writers (`reach`), and a writer does not begin while the clock
-- stands before that (`announce`): it waits for a second at most, and is refused if the clock is further behind. That needs
-- two numbers, in microseconds since 1970. Both are sequences, since what is said must be seen at once by transactions that
-- began before.
-- - `published_until` is what was said last. It is said ten times a second and more, and so is not logged: it costs no
--   commit, and is lost when Postgres crashes, or another host takes over.
-- - `reserved_until` is logged and never before it, and raised by a second when it is reached; it stands in until something
--   is said again.
-- Needs Postgres 15. To undo: set the defaults to clock_timestamp(); make the functions `announce_statements` of 0004 anew;
-- drop the other functions and the sequences.

create unlogged sequence published_until;
create sequence reserved_until;

create function as_microseconds(moment timestamptz) returns bigint language sql immutable strict as $$
    select (extract(epoch from moment) * 1000000)::bigint
$$;

create function as_moment(microseconds bigint) returns timestamptz language sql stable strict as $$
    select timestamptz '1970-01-01 00:00:00+00' + microseconds * interval '1 microsecond'
$$;

-- Nothing may come to be known before it.
create function known_until() returns timestamptz language sql volatile as $$
    select as_moment(
        case when published_until.is_called then published_until.last_value else reserved_until.last_value end
    )
    from published_until, reserved_until
$$;

select setval('reserved_until', as_microseconds(clock_timestamp()));

-- Up to when everything that was known can be read, which is said before it is looked for: now, or when the first of the
-- transactions began that write. Unknown while one that has written is just between two transactions. `held` is up to when
-- the asking server has read, by the clock of another host perhaps.
create function reach(held timestamptz) returns timestamptz language plpgsql as $$
declare
    moment timestamptz;
    until  bigint;
begin
    -- The bytes of "finr" and "unti". One at a time, or an earlier one would be said after a later one.
    perform pg_advisory_xact_lock(1718185586, 1970173033);
    moment := clock_timestamp();
    until := as_microseconds(greatest(moment, held, known_until()));
    if until > (select last_value from reserved_until) then
        perform setval('reserved_until', until + 1000000);
    end if;
    perform setval('published_until', until);
    return (
        select case
            when bool_and(writer.xact_start is not null) is not false
            then least(moment, min(writer.xact_start))
        end
        from pg_locks held left join pg_stat_activity writer using (pid)
        where held.locktype = 'advisory'
          and held.classid = 1718185586 and held.objid = 1802399607 and held.objsubid = 2
          and held.database = (select oid from pg_database where datname = current_database())
    );
end
$$;

-- To be called by whoever is about to write what will be known. From then on to the end of its transaction the horizon
-- stays before it, and `learned_at` is not before what was read until then, even if the clock goes back meanwhile.
create function announce() returns void language plpgsql as $$
declare
    moment timestamptz;
    until  timestamptz;
begin
    -- The bytes of "finr" and "know". The horizon looks for holders of this lock.
    perform pg_advisory_xact_lock_shared(1718185586, 1802399607);
    moment := greatest(clock_timestamp(), now());
    until := known_until();
    if until > moment + interval '1 second' then
        raise exception using
            errcode = 'FR001',
            message = format('the clock went back: it stands %s before what was read already', until - moment),
            hint = 'Write again when it has caught up.';
    elsif until > moment then
        perform pg_sleep_for(until - moment);
    end if;
    perform set_config('finrank.announced_at', greatest(clock_timestamp(), moment, until)::text, true);
end
$$;

create function learned_at() returns timestamptz language sql volatile as $$
    select greatest(clock_timestamp(), nullif(current_setting('finrank.announced_at', true), '')::timestamptz)
$$;

create or replace function announce_statements() returns trigger language plpgsql as $$
begin
    perform announce();
    return null;
end
$$;

alter table customer_statements alter column known_at set default learned_at();
alter table product_statements alter column known_at set default learned_at();
alter table event_statements alter column known_at set default learned_at();
alter table erasures alter column erased_at set default learned_at();
-- A moment belongs to the definitions by which it was read, be it the last that was.
alter table feature_definitions
    alter column in_force_from set default greatest(clock_timestamp(), known_until() + interval '1 microsecond');
