-- That somebody was erased, when, and how much was removed: nothing that tells whom.
--
-- To undo: drop table erasures.

create table erasures (
    erasure_id uuid        not null primary key,
    erased_at  timestamptz not null default clock_timestamp(),
    removed    jsonb       not null -- rows by table
);
