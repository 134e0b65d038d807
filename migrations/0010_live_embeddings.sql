-- Embeddings of whoever something was learned of since the newest generation, so that nobody has to wait for the next
-- refresh.
--
-- Of each model version that has a generation, a watermark says up to when everything that was learned is also
-- computed: what changed before it has its embedding in the generation or in a live row. A live row, the watermark and
-- the word that it moved are written in one transaction. Whoever moves the watermark locks its row, so that of several
-- servers one at a time computes.
--
-- A live row counts where it knows more than the generation (`known_at` is later); the others are removed after each
-- refresh.
-- To undo: in `note_changes` (services/feature-store/src/refresh/plan.rs) read the statements themselves; drop the
-- tables and the view.

-- What may have made another embedding of whom, and when it was learned: the one definition of a change.
create view changes as
select 'user' as entity, user_id as id, known_at from customer_statements
union all
-- Of events those that decide what a customer holds, and whatever corrects or takes back another one, which may have.
select 'user', user_id, known_at from event_statements where kind in ('acquired', 'closed') or revision > 0
union all
select 'product', product_id, known_at from product_statements;

create table live_watermarks (
    model_version text        not null collate "C" primary key references model_versions,
    known_at      timestamptz not null -- what was learned before is computed
);

create table live_user_embeddings (
    user_id       text        not null collate "C",
    model_version text        not null collate "C",
    vector        bytea       not null, -- little-endian f32
    computed_at   timestamptz not null,
    known_at      timestamptz not null, -- what was learned before is in it
    primary key (user_id, model_version)
);

create table live_product_embeddings (
    product_id    text        not null collate "C",
    model_version text        not null collate "C",
    vector        bytea       not null, -- little-endian f32
    computed_at   timestamptz not null,
    known_at      timestamptz not null, -- what was learned before is in it
    primary key (product_id, model_version)
);

-- Generations that there are; of those that do not say what they know, nothing can be known to be later.
insert into live_watermarks (model_version, known_at)
select model_version, max(known_at) from refresh_runs
where state = 'complete' and known_at is not null
group by model_version;
