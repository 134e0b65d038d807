-- What was served online, a sample of it: each row with all that is needed to compute it again from history, so that the
-- one can be held to the other. Rows are only added, and removed when they are old or many, or when what they rest on
-- is erased.
--
-- To undo: drop table served_samples; drop index erasures_by_time.

create table served_samples (
    sample_id          bigint      not null generated always as identity primary key,
    entity             text        not null check (entity in ('user', 'product')),
    id                 text        not null collate "C",
    features           jsonb       not null, -- an array of "view:feature", in the order of the row's values
    purpose            text        not null,
    expired            text        check (expired in ('flag', 'null', 'reject')), -- null leaves it to each view
    known_at           timestamptz not null, -- of the answer's header
    definitions_sha256 text        not null,
    served             bytea       not null  -- a finrank.feature.v1.FeatureRow, byte for byte
);

create index served_samples_by_entity on served_samples (entity, id);
create index served_samples_by_known_at on served_samples (known_at);

-- When somebody was last erased.
create index erasures_by_time on erasures (erased_at);
