-- Which feature definitions were in force when, so that what was served can be computed again by the same ones.
--
-- Only ever added to. To undo: drop table feature_definitions.

create table feature_definitions (
    in_force_from timestamptz not null default clock_timestamp() primary key,
    sha256        text        not null,
    definitions   text        not null -- the file, word for word
);

create index feature_definitions_by_digest on feature_definitions (sha256);
