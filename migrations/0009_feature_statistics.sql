-- What features were like when they were refreshed, and what was not as expected.
--
-- A run says by which definitions and of which moment its features are summarised; each partition keeps its summary
-- until the run is complete, when they become one row per view. These stay when the run's embeddings are dropped.
-- To undo: drop the three tables and the columns; end withheld runs as 'cancelled' and restore the check of 0008.

alter table refresh_runs
    add column definitions_sha256 text,        -- null for runs of earlier versions, which summarise nothing
    add column summarised_at      timestamptz, -- the moment whose values are summarised
    drop constraint refresh_runs_state_check,
    -- A withheld run is whole, but its features are not as they must be; it is never served.
    add constraint refresh_runs_state_check
        check (state in ('running', 'complete', 'failed', 'merged', 'cancelled', 'withheld'));

alter table refresh_partitions add column summaries jsonb;

create table feature_statistics (
    run_id             bigint      not null, -- the run may be gone
    view               text        not null,
    definitions_sha256 text        not null,
    moment             timestamptz not null,
    whole              boolean     not null, -- over every entity, not only over those that had changed
    summary            jsonb       not null,
    primary key (view, run_id)
);

create table feature_breaches (
    run_id      bigint           not null,
    view        text             not null,
    feature     text             not null,
    expectation text             not null,
    allowed     double precision not null,
    found       double precision not null,
    stops       boolean          not null,
    primary key (run_id, view, feature, expectation)
);

-- Entities whose own value is out of range, some of each partition.
create table feature_outliers (
    run_id  bigint           not null,
    view    text             not null,
    feature text             not null,
    entity  text             not null check (entity in ('user', 'product')),
    id      text             not null collate "C",
    value   double precision not null,
    primary key (run_id, view, feature, id)
);

create index feature_outliers_by_entity on feature_outliers (entity, id);
