-- Which model version is served, and why it may be. Before the first promotion the newest generation is served,
-- whichever model version it is of; from then on the version of the last row of `promotions`, whatever is refreshed.
-- A promotion rests on a gate check that is recorded, with the policy that it was held to and the waivers that counted.
-- All of it is history: a row is never changed or removed, a rollback is a row of its own, and a mistake is mended by
-- another row.
-- To undo: drop the functions and the tables, the newest first; the newest generation is served again.

-- Which holdings a training hid, so that a model is measured on what it never saw, whatever was learned since: of each
-- pair of customer and product 8 bytes of a SHA-256, which name nobody, those with the smallest.
create table training_holdouts (
    model_version text  not null collate "C" primary key references model_versions,
    fingerprints  bytea not null -- little-endian, ascending
);

create table promotion_policies (
    policy_sha256 text        not null collate "C" primary key,
    policy        text        not null, -- the file
    kept_at       timestamptz not null default now()
);

create table gate_checks (
    check_id      bigint      generated always as identity primary key,
    model_version text        not null collate "C" references model_versions,
    bundle_sha256 text        not null,
    compared_with text        collate "C" references model_versions, -- what was served then; null for nothing
    policy_sha256 text        not null collate "C" references promotion_policies,
    results       jsonb       not null, -- one object per gate, in the order of the policy
    tables        jsonb       not null, -- what was measured, for the model card
    checked_by    text        not null check (checked_by <> ''),
    checked_at    timestamptz not null default now(),
    valid_until   timestamptz not null
);

create index gate_checks_of_version on gate_checks (model_version, check_id desc);

create table gate_waivers (
    waiver_id     bigint      generated always as identity primary key,
    model_version text        not null collate "C" references model_versions,
    gate          text        not null, -- as it is called in a check's results
    reason        text        not null check (reason <> ''),
    asked_by      text        not null check (asked_by <> ''),
    approved_by   text        not null check (approved_by <> '' and lower(approved_by) <> lower(asked_by)),
    granted_at    timestamptz not null default now(),
    expires_at    timestamptz not null check (expires_at > granted_at)
);

create index gate_waivers_of_version on gate_waivers (model_version);

create table promotions (
    promotion_id  bigint      generated always as identity primary key,
    model_version text        not null collate "C" references model_versions,
    action        text        not null check (action in ('promote', 'rollback')),
    check_id      bigint      references gate_checks, -- a rollback needs none
    waiver_ids    bigint[]    not null default '{}', -- those that counted
    promoted_by   text        not null check (promoted_by <> ''),
    reason        text        not null default '',
    promoted_at   timestamptz not null default now(),
    check (action = 'rollback' or check_id is not null)
);

create function refuse_to_change_history() returns trigger language plpgsql as $$
begin
    raise exception '% is history: rows are added, and never changed or removed', tg_table_name;
end
$$;

create trigger keep_history before update or delete or truncate on promotion_policies
    for each statement execute function refuse_to_change_history();
create trigger keep_history before update or delete or truncate on gate_checks
    for each statement execute function refuse_to_change_history();
create trigger keep_history before update or delete or truncate on gate_waivers
    for each statement execute function refuse_to_change_history();
create trigger keep_history before update or delete or truncate on promotions
    for each statement execute function refuse_to_change_history();

-- Readers follow announcements of generations, and which one is theirs is what a promotion decides.
create function announce_promotion() returns trigger language plpgsql as $$
begin
    perform pg_notify('finrank_generation', '');
    return null;
end
$$;

create trigger announce after insert on promotions
    for each statement execute function announce_promotion();

-- The version that is served; null before the first promotion.
create function serving_version() returns text stable language sql
    return (select model_version from promotions order by promotion_id desc limit 1);

-- The version that a rollback would bring back: the one that was served when the serving version was promoted.
create function rollback_version() returns text stable language sql
    return (
        select model_version from promotions
        where promotion_id < (
            select max(promotion_id) from promotions
            where action = 'promote' and model_version = serving_version()
        )
        order by promotion_id desc
        limit 1
    );
