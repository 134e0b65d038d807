-- What several readers must mean alike: who holds what, and which refreshes may be read.
--
-- To undo: drop view holdings, generations.

-- A customer holds a product when the latest of their 'acquired' and 'closed' events for it is 'acquired'; of
-- two events at the same time the one that was stored later counts.
create view holdings as
select user_id, product_id
from (
    select distinct on (user_id, product_id) user_id, product_id, kind
    from events
    where kind in ('acquired', 'closed')
    order by user_id, product_id, event_time desc, ingest_seq desc
) as latest
where kind = 'acquired';

-- Whole refreshes and the model that each ran.
create view generations as
select r.run_id, r.model_version, m.embedding_space, m.bundle_sha256,
       (m.manifest ->> 'dimension')::integer as dimension, r.features_as_of
from refresh_runs r
join model_versions m using (model_version)
where r.state = 'complete';
