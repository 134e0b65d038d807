-- What the shadow, a model that is shown to nobody, would have offered in the place of what was, and what it says of what was.
-- A row names its customer, and is erased with them; of who is erased, none is written.
-- To undo: drop table shadow_decisions.

create table shadow_decisions (
    user_id           text        not null collate "C",
    decision_id       uuid        not null, -- of what was offered
    decided_at        timestamptz not null,
    model_version     text        not null collate "C", -- the shadow's
    product_ids       text[]      not null, -- what it would have offered, best first
    scores            real[]      not null, -- its probability of each
    shown_product_ids text[]      not null, -- what was offered
    shown_scores      real[]      not null, -- its probability of each; null of what is not in its catalogue
    primary key (user_id, decision_id),
    check (cardinality(product_ids) = cardinality(scores)),
    check (cardinality(shown_product_ids) = cardinality(shown_scores))
);

create index shadow_decisions_by_time on shadow_decisions (decided_at);
