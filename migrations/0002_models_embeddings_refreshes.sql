-- What we compute: registered model versions, refresh runs, and the embeddings that each run writes.
--
-- A refresh run is a generation. Its embeddings carry its `run_id` and are visible to readers only once
-- the run is 'complete'; until then readers stay on the last complete run. A partition and the mark that
-- it is done are written in one transaction, so that a run killed at any point resumes with what is missing.
-- To undo: drop table user_embeddings, product_embeddings, refresh_partitions, refresh_runs, model_versions.

create table model_versions (
    model_version   text        not null collate "C" primary key,
    embedding_space text        not null,
    bundle_path     text        not null,
    bundle_sha256   text        not null,
    manifest        jsonb       not null,
    registered_at   timestamptz not null default now()
);

create table refresh_runs (
    run_id         bigint      generated always as identity primary key,
    model_version  text        not null collate "C" references model_versions,
    state          text        not null check (state in ('running', 'complete', 'failed')),
    features_as_of timestamptz not null,
    started_at     timestamptz not null default now(),
    finished_at    timestamptz,
    error          text        not null default ''
);

-- At most one run is unfinished at a time.
create unique index refresh_runs_one_running on refresh_runs (state) where state = 'running';

create table refresh_partitions (
    run_id      bigint   not null references refresh_runs on delete cascade,
    entity      text     not null check (entity in ('user', 'product')),
    partition   integer  not null,
    -- Ids from first_id on, below the next partition's first_id.
    first_id    text     not null collate "C",
    row_count   bigint   not null,
    finished_at timestamptz,
    primary key (run_id, entity, partition)
);

create table user_embeddings (
    user_id     text        not null collate "C",
    run_id      bigint      not null references refresh_runs on delete cascade,
    vector      bytea       not null, -- little-endian f32
    computed_at timestamptz not null,
    primary key (user_id, run_id)
);

create table product_embeddings (
    product_id  text        not null collate "C",
    run_id      bigint      not null references refresh_runs on delete cascade,
    vector      bytea       not null, -- little-endian f32
    computed_at timestamptz not null,
    primary key (product_id, run_id)
);
