-- Who else answers: a second version for a share of customers (the treatment of an experiment), and one that is scored beside
-- what was answered and shown to nobody (the shadow). Each row states the whole of it, and rests on the promotion that was in
-- force when it was set: the next promotion or rollback ends it, and nothing but another row brings it back. A treatment
-- stands in front of customers, so that it rests on a gate check and waivers as a promotion does. History, as promotions are.
-- To undo: drop the function and the table; the serving version answers everybody.

create table traffic (
    traffic_id            bigint      generated always as identity primary key,
    promotion_id          bigint      not null references promotions, -- what is served is the control
    name                  text        check (name <> ''), -- of the experiment: who is in which arm follows from it
    treatment_version     text        collate "C" references model_versions,
    share_of_ten_thousand integer     check (share_of_ten_thousand between 1 and 5000),
    shadow_version        text        collate "C" references model_versions,
    check_id              bigint      references gate_checks, -- the treatment's
    waiver_ids            bigint[]    not null default '{}', -- those that counted
    set_by                text        not null check (set_by <> ''),
    reason                text        not null check (reason <> ''),
    set_at                timestamptz not null default now(),
    check (num_nulls(name, treatment_version, share_of_ten_thousand, check_id) in (0, 4)),
    check (treatment_version <> shadow_version)
);

create trigger keep_history before update or delete or truncate on traffic
    for each statement execute function refuse_to_change_history();

-- The last row, while what was served then still is without interruption; a row without versions says that it was ended.
create function traffic_in_force() returns setof traffic stable language sql
begin atomic
    select * from traffic
    where traffic_id = (select max(traffic_id) from traffic)
      and promotion_id = (select max(promotion_id) from promotions);
end;
