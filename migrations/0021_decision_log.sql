-- The log of decisions: what was offered, by which versions and rules, in one chain of hashes. A row's `sha256` covers the
-- row before it, so that one that is changed, removed or moved is found, and signed checkpoints cover the chain, so that
-- nobody without the key can write it anew. Rows are added, and never changed or removed.
-- What is personal stands apart, in `decision_inputs`, and is erased with the person; a record commits to it by a
-- salted digest, so that the chain holds without it.
-- To undo: drop the three tables.

create table decisions (
    sequence    bigint      primary key check (sequence > 0), -- 1, 2, 3 and so on, without a gap
    decision_id uuid        not null unique,
    decided_at  timestamptz not null,
    record      bytea       not null, -- a finrank.ranking.v1.DecisionRecord, as it was hashed
    sha256      bytea       not null check (octet_length(sha256) = 32)
);

create table decision_checkpoints (
    sequence   bigint      primary key, -- the last decision that it covers
    sha256     bytea       not null check (octet_length(sha256) = 32), -- that decision's
    signed_at  timestamptz not null,
    public_key bytea       not null check (octet_length(public_key) = 32),
    signature  bytea       not null check (octet_length(signature) = 64) -- Ed25519
);

create table decision_inputs (
    user_id     text  not null collate "C",
    decision_id uuid  not null,
    inputs      bytea not null, -- a finrank.ranking.v1.DecisionInputs
    primary key (user_id, decision_id)
);

create unique index decision_inputs_of_decision on decision_inputs (decision_id);

create trigger keep_history before update or delete or truncate on decisions
    for each statement execute function refuse_to_change_history();
create trigger keep_history before update or delete or truncate on decision_checkpoints
    for each statement execute function refuse_to_change_history();
