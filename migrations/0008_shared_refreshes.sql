-- Several workers at one refresh: each takes a partition by locking its row, which Postgres lets go of when the worker
-- dies. A run keeps what was asked for, so that only the same request goes on with it, and can be cancelled.
--
-- To undo: delete cancelled runs; drop the four columns; restore the constraint of 0007.

alter table refresh_runs
    add column scope       text        not null default 'full' check (scope in ('full', 'changes')),
    add column only_entity text        check (only_entity in ('user', 'product')), -- null for both
    add column since       timestamptz, -- of changes, those learned since then; null for those since the generation before
    add column worked_from timestamptz not null default now(), -- when it was begun, or last gone on with
    drop constraint refresh_runs_state_check,
    add constraint refresh_runs_state_check
        check (state in ('running', 'complete', 'failed', 'merged', 'cancelled'));

update refresh_runs set scope = 'changes' where base_run_id is not null;
