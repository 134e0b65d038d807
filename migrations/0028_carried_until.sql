-- Until when every statement was looked at once more for what was pushed over it. A writer lets statements shine through
-- pushed ones when they are committed, in a transaction of its own; one that is killed between the two left wrong
-- attributes behind for good. Whoever looks locks the row, so that of several servers one at a time does.
--
-- It begins with the first statement there ever was, so that what was left behind earlier is mended, too. Where nothing
-- was ever pushed that takes one step, else one for each 1,000 statements that something was pushed over.
-- To undo: drop table carried_until.

create table carried_until (
    entity   text        not null primary key check (entity in ('customer', 'product')),
    known_at timestamptz not null -- what was stated before it shines through
);

insert into carried_until (entity, known_at) values ('customer', 'epoch'), ('product', 'epoch');
