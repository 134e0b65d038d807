-- What customers did with what they were offered, joined to the decision that offered it. A row names its customer, and
-- is erased with them; of who is erased, none is written.
-- To undo: drop table decision_outcomes.

create table decision_outcomes (
    user_id     text        not null collate "C",
    decision_id uuid        not null,
    outcome_id  text        not null collate "C", -- the client's, so that what is sent twice is kept once
    product_id  text        not null collate "C",
    kind        text        not null
        check (kind in ('impression', 'click', 'application', 'purchase', 'dismissal')),
    occurred_at timestamptz not null,
    recorded_at timestamptz not null default clock_timestamp(),
    primary key (user_id, decision_id, outcome_id)
);

create index decision_outcomes_of_decision on decision_outcomes (decision_id);
