-- Refreshes of what has changed. Such a run adds to a base, a full run: of each customer and product the newest row of
-- the base and of the runs that add to it is the embedding. What has changed is told by when it was learned, not by
-- when it was true, so that late statements are not missed, and only up to a horizon before which nothing more can
-- come to be known, so that none falls between two runs.
-- To undo: run a full refresh, drop all other runs; drop the columns, the table and the indexes; make the view
-- `generations` anew without `runs`.

alter table refresh_runs
    add column base_run_id bigint,      -- the full run that this one adds to; null for a full one
    add column known_at    timestamptz, -- what was learned before is in it; null if that is not known
    drop constraint refresh_runs_state_check,
    -- A merged run is part of the generations after it, and no generation of its own any more.
    add constraint refresh_runs_state_check check (state in ('running', 'complete', 'failed', 'merged'));

-- What an incremental run computes again.
create table refresh_changes (
    run_id bigint not null references refresh_runs on delete cascade,
    entity text   not null check (entity in ('user', 'product')),
    id     text   not null collate "C",
    primary key (run_id, entity, id)
);

-- Statements lie in the order in which they were learned, so that a summary of each range of pages is enough.
create index customer_statements_by_known_at on customer_statements using brin (known_at) with (autosummarize = on);
create index product_statements_by_known_at on product_statements using brin (known_at) with (autosummarize = on);
create index event_statements_by_known_at on event_statements using brin (known_at) with (autosummarize = on);

create or replace view generations as
select r.run_id, r.model_version, m.embedding_space, m.bundle_sha256,
       (m.manifest ->> 'dimension')::integer as dimension, r.features_as_of,
       array(
           select part.run_id from refresh_runs part
           where coalesce(part.base_run_id, part.run_id) = coalesce(r.base_run_id, r.run_id)
             and part.run_id <= r.run_id and part.state in ('complete', 'merged')
       ) as runs,
       r.known_at
from refresh_runs r
join model_versions m using (model_version)
where r.state = 'complete';
