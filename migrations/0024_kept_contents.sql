-- What decisions were made from and is nobody's own: policies, catalogues with their products and embeddings, and how
-- popular products were. Each is kept once, under its SHA-256, before it comes into service, and the records of decisions name
-- it by that: what was decided can be decided again. A catalogue is kept in parts, of which most are those of the one before.
-- Rows are added, never changed; whoever has no more decisions to replay may remove them.
-- To undo: drop table kept_contents.

create table kept_contents (
    sha256  bytea       primary key,
    kind    text        not null, -- for whoever looks: policy, product, page, catalogue, popularity
    content bytea       not null,
    kept_at timestamptz not null default clock_timestamp(),
    constraint is_its_content check (sha256 = sha256(content))
);

create trigger keep_history before update on kept_contents
    for each statement execute function refuse_to_change_history();
