//! What was stated whole shines through what was pushed, though whoever wrote the one or the other was killed before it
//! saw to that.
//!
//! Writers see to it once their statements are committed (see `overlay` and `customers`), and may be killed in between.
//! So whatever is stated is looked at once more when the horizon has passed it, by any server. Of two statements the one
//! that is looked at later finds the other: below the horizon both can be read, whoever wrote them. To look twice changes
//! nothing, and what is made by it is looked at in its turn and changes nothing more.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use finrank_model::features::Entity;
use finrank_store::Store;
use sqlx::{Postgres, Transaction};
use tokio::time;
use tracing::{info, warn};

use crate::{Result, features::Horizon};

/// How often the horizon is followed.
const INTERVAL: Duration = Duration::from_secs(1);
/// Statements of one step, but for those of one moment, which come together. Each may need a lock of its own, of which
/// Postgres has some 6,000 for everybody.
const STEP_ROWS: i64 = 1_000;
/// How far the mark may stay behind while nothing is stated, so that it is not written every second.
const IDLE_LAG: TimeDelta = TimeDelta::minutes(1);

/// What was stated, and when that was learned.
struct Stated {
    id: String,
    event_time: DateTime<Utc>,
    known_at: DateTime<Utc>,
}

/// Lets statements shine through for whoever did not live to do it, for ever.
pub(crate) async fn carry_over_for_the_killed(store: &Store, horizon: &Horizon) -> ! {
    let mut failed = false;
    loop {
        // First, since a server that has just begun may be bringing the schema up to date.
        time::sleep(INTERVAL).await;
        match catch_up(store, horizon).await {
            Ok(()) if failed => {
                failed = false;
                info!("what was stated whole shines through what was pushed again");
            }
            Ok(()) => {}
            // That Postgres does not answer is told by the health check.
            Err(error) if failed || error.is_out_of_reach() => {}
            Err(error) => {
                failed = true;
                warn!(%error, "what was stated whole perhaps does not shine through what was pushed");
            }
        }
    }
}

async fn catch_up(store: &Store, horizon: &Horizon) -> Result<()> {
    let below = horizon.moment().await?;
    for entity in [Entity::Customer, Entity::Product] {
        while step(store, entity, below).await? {}
    }
    Ok(())
}

/// Goes one step towards the horizon, and tells whether there is another one to go. While another server is at it there
/// is none.
async fn step(store: &Store, entity: Entity, below: DateTime<Utc>) -> Result<bool> {
    let mut transaction = store.pool().begin().await?;
    let mark = sqlx::query_scalar!(
        "select known_at from carried_until where entity = $1 for update skip locked",
        name(entity),
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(from) = mark.filter(|mark| *mark < below) else {
        return Ok(false);
    };
    let stated = stated(&mut transaction, entity, from, below).await?;
    if stated.is_empty() && below - from < IDLE_LAG {
        return Ok(false);
    }
    let reached = match stated.last() {
        Some(last) if stated.len() as i64 >= STEP_ROWS => last.known_at + TimeDelta::microseconds(1),
        _ => below,
    };
    carry_over(&mut transaction, entity, &stated).await?;
    sqlx::query!("update carried_until set known_at = $2 where entity = $1", name(entity), reached)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(reached < below)
}

/// What was stated first in a time under something pushed, in the order in which it was learned. Where nothing was ever
/// pushed nothing is read.
async fn stated(
    transaction: &mut Transaction<'static, Postgres>,
    entity: Entity,
    from: DateTime<Utc>,
    below: DateTime<Utc>,
) -> Result<Vec<Stated>> {
    let stated = match entity {
        Entity::Customer => {
            sqlx::query_as!(
                Stated,
                "select user_id as id, event_time, known_at
                 from customer_statements stated
                 where known_at >= $1 and known_at < $2
                   and exists (select from customer_statements where pushed > 0)
                   and exists (
                       select from customer_statements over
                       where over.user_id = stated.user_id and over.event_time >= stated.event_time
                         and over.pushed > 0
                   )
                 order by known_at
                 fetch first $3 rows with ties",
                from,
                below,
                STEP_ROWS,
            )
            .fetch_all(&mut **transaction)
            .await
        }
        Entity::Product => {
            sqlx::query_as!(
                Stated,
                "select product_id as id, event_time, known_at
                 from product_statements stated
                 where known_at >= $1 and known_at < $2
                   and exists (select from product_statements where pushed > 0)
                   and exists (
                       select from product_statements over
                       where over.product_id = stated.product_id and over.event_time >= stated.event_time
                         and over.pushed > 0
                   )
                 order by known_at
                 fetch first $3 rows with ties",
                from,
                below,
                STEP_ROWS,
            )
            .fetch_all(&mut **transaction)
            .await
        }
    };
    Ok(stated?)
}

/// Looks at what was pushed over each statement. Not from the earliest one of an entity only: the functions end with the
/// first pushed statement that is right, and a later one may be wrong.
async fn carry_over(
    transaction: &mut Transaction<'static, Postgres>,
    entity: Entity,
    stated: &[Stated],
) -> Result<()> {
    let ids: Vec<&str> = stated.iter().map(|stated| stated.id.as_str()).collect();
    let event_times: Vec<DateTime<Utc>> = stated.iter().map(|stated| stated.event_time).collect();
    let carrying = match entity {
        Entity::Customer => {
            sqlx::query!("select carry_over_customers($1, $2)", &ids as _, &event_times)
                .execute(&mut **transaction)
                .await
        }
        Entity::Product => {
            sqlx::query!("select carry_over_products($1, $2)", &ids as _, &event_times)
                .execute(&mut **transaction)
                .await
        }
    };
    carrying?;
    Ok(())
}

/// As the table names it.
fn name(entity: Entity) -> &'static str {
    match entity {
        Entity::Customer => "customer",
        Entity::Product => "product",
    }
}
