-- What the outside world tells us: customers, products and events.
--
-- `ingest_seq` numbers rows in the order in which they were stored, so that incremental readers can
-- follow what arrived, late rows included; `event_time` says when a row is true, `ingested_at` when we learned it.
-- Tables keyed by user lead with `user_id`, so that they can be distributed by it.
-- Ids compare by their bytes (collate "C"), as they do in Rust and whatever the database's locale: the order of
-- pages and of refresh partitions must not change with a new version of libc or ICU.
-- To undo: drop table events, products, customers; drop sequence ingest_seq.

create sequence ingest_seq;

create table customers (
    user_id     text        not null collate "C" primary key,
    attributes  jsonb       not null,
    event_time  timestamptz not null,
    ingested_at timestamptz not null default now(),
    ingest_seq  bigint      not null default nextval('ingest_seq')
);

create table products (
    product_id    text        not null collate "C" primary key,
    product_class text        not null check (product_class in ('credit_card', 'loan', 'wealth', 'insurance')),
    name          text        not null,
    description   text        not null,
    issuer        text        not null,
    risk_grade    smallint    check (risk_grade between 1 and 5),
    status        text        not null check (status in ('active', 'withdrawn')),
    attributes    jsonb       not null,
    event_time    timestamptz not null,
    ingested_at   timestamptz not null default now(),
    ingest_seq    bigint      not null default nextval('ingest_seq')
);

create table events (
    user_id       text        not null collate "C",
    event_id      text        not null collate "C",
    product_id    text        not null collate "C",
    kind          text        not null
                  check (kind in ('viewed', 'clicked', 'applied', 'acquired', 'closed', 'declined')),
    event_time    timestamptz not null,
    quantity      integer     not null check (quantity > 0),
    amount_minor  bigint,
    currency_code text,
    ingested_at   timestamptz not null default now(),
    ingest_seq    bigint      not null default nextval('ingest_seq'),
    primary key (user_id, event_id),
    check ((amount_minor is null) = (currency_code is null))
);

create index events_by_user_and_time on events (user_id, event_time);
