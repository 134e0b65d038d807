//! Statements that state some attributes only: all others stay as they are believed at that time.
//!
//! The statement holds both and names its own, and whatever is stated under it, late as it may come, shines through it;
//! see the migrations that make `stated` and `pushed`.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use finrank_model::{AttributeName, AttributeValue, Attributes, InvalidField, ProductId, UserId};
use finrank_store::Store;
use sqlx::{Postgres, Transaction, types::Json};

use crate::{FeatureStoreError, Result};

/// What is stated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Overlay {
    /// Of whom.
    pub(crate) whose: Whose,
    /// Since when it is true.
    pub(crate) event_time: DateTime<Utc>,
    /// What is known since then, and what is not known any more.
    pub(crate) attributes: BTreeMap<AttributeName, Option<AttributeValue>>,
}

/// Whose attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Customer(UserId),
    Product(ProductId),
}

/// A statement that is believed.
struct Believed {
    event_time: DateTime<Utc>,
    attributes: Json<Attributes>,
    /// What of it was pushed, if it was.
    stated: Option<Vec<String>>,
}

/// The statement that makes an overlay true.
struct Overlaid {
    attributes: Attributes,
    stated: Vec<String>,
}

/// Writes an overlay. The same one again changes nothing; of two that state one attribute at one time the later to
/// arrive counts.
///
/// # Errors
/// When there was no such product at that time, since attributes alone are none; when the entity would have too many
/// attributes; when Postgres does not answer.
pub(crate) async fn overlay(store: &Store, overlay: &Overlay) -> Result<()> {
    let mut transaction = store.pool().begin().await?;
    // Takes the entity's turn, and lets all that is committed shine through what was pushed before.
    carry_over(&mut *transaction, &overlay.whose, overlay.event_time).await?;
    let base = believed(&mut transaction, overlay).await?;
    if base.is_none()
        && let Whose::Product(product_id) = &overlay.whose
    {
        let (product_id, moment) = (product_id.clone(), overlay.event_time);
        return Err(FeatureStoreError::ProductNotFound { product_id, moment });
    }
    if let Some(overlaid) = overlay.over(base.as_ref())? {
        insert(&mut transaction, overlay, base.as_ref(), &overlaid).await?;
        let after = overlay.event_time + TimeDelta::microseconds(1);
        carry_over(&mut *transaction, &overlay.whose, after).await?;
    }
    transaction.commit().await?;
    // Whoever does not take turns has perhaps committed a statement meanwhile, which shines through this one, too.
    carry_over(store.pool(), &overlay.whose, overlay.event_time).await
}

impl Overlay {
    /// The overlay over what is believed; nothing if that says it already.
    fn over(&self, base: Option<&Believed>) -> Result<Option<Overlaid>, InvalidField> {
        let believed = base.into_iter().flat_map(|base| base.attributes.iter());
        let mut merged: BTreeMap<&AttributeName, &AttributeValue> = believed.collect();
        for (name, value) in &self.attributes {
            match value {
                Some(value) => merged.insert(name, value),
                None => merged.remove(name),
            };
        }
        let merged = merged.into_iter().map(|(name, value)| (name.to_string(), value.clone()));
        let attributes = Attributes::new(merged)?;
        // What was pushed at the same time is stated along with it.
        let same_time = base.filter(|base| base.event_time == self.event_time);
        let before = same_time.and_then(|base| base.stated.as_ref());
        let own = self.attributes.keys().map(AttributeName::to_string);
        let mut stated: Vec<String> = before.into_iter().flatten().cloned().chain(own).collect();
        stated.sort_unstable();
        stated.dedup();
        let says_it = same_time
            .is_some_and(|base| base.attributes.0 == attributes && base.stated.as_ref() == Some(&stated));
        Ok((!says_it).then_some(Overlaid { attributes, stated }))
    }
}

/// What is believed of the entity at the overlay's time.
async fn believed(
    transaction: &mut Transaction<'static, Postgres>,
    overlay: &Overlay,
) -> Result<Option<Believed>> {
    let found = match &overlay.whose {
        Whose::Customer(user_id) => {
            sqlx::query_as!(
                Believed,
                r#"select event_time, attributes as "attributes: Json<Attributes>", stated
                   from customer_statements base
                   where user_id = $1 and event_time <= $2 and not retracted
                     and not exists (
                         select from customer_statements higher
                         where higher.user_id = base.user_id and higher.event_time = base.event_time
                           and (higher.pushed, higher.revision) > (base.pushed, base.revision)
                           and (higher.pushed > 0 or higher.revision > 0)
                     )
                   order by event_time desc
                   limit 1"#,
                user_id.as_str(),
                overlay.event_time,
            )
            .fetch_optional(&mut **transaction)
            .await
        }
        Whose::Product(product_id) => {
            sqlx::query_as!(
                Believed,
                r#"select event_time, attributes as "attributes: Json<Attributes>", stated
                   from product_statements base
                   where product_id = $1 and event_time <= $2 and not retracted
                     and not exists (
                         select from product_statements higher
                         where higher.product_id = base.product_id and higher.event_time = base.event_time
                           and (higher.pushed, higher.revision) > (base.pushed, base.revision)
                           and (higher.pushed > 0 or higher.revision > 0)
                     )
                   order by event_time desc
                   limit 1"#,
                product_id.as_str(),
                overlay.event_time,
            )
            .fetch_optional(&mut **transaction)
            .await
        }
    };
    Ok(found?)
}

/// States it over what was pushed at that time before; of a product with everything else that its base says.
async fn insert(
    transaction: &mut Transaction<'static, Postgres>,
    overlay: &Overlay,
    base: Option<&Believed>,
    overlaid: &Overlaid,
) -> Result<()> {
    let Overlaid { attributes, stated } = overlaid;
    let inserted = match &overlay.whose {
        Whose::Customer(user_id) => {
            sqlx::query!(
                "insert into customer_statements (user_id, event_time, attributes, stated, pushed)
                 select $1, $2, $3, $4, coalesce(max(pushed), 0) + 1
                 from customer_statements where user_id = $1 and event_time = $2",
                user_id.as_str(),
                overlay.event_time,
                Json(attributes) as _,
                stated.as_slice(),
            )
            .execute(&mut **transaction)
            .await
        }
        Whose::Product(product_id) => {
            sqlx::query!(
                "insert into product_statements
                     (product_id, event_time, attributes, stated, pushed, product_class, name, description, issuer,
                      risk_grade, status)
                 select $1, $2, $3, $4,
                        (select coalesce(max(pushed), 0) + 1 from product_statements
                         where product_id = $1 and event_time = $2),
                        product_class, name, description, issuer, risk_grade, status
                 from product_statements
                 where product_id = $1 and event_time = $5
                 order by pushed desc, revision desc
                 limit 1",
                product_id.as_str(),
                overlay.event_time,
                Json(attributes) as _,
                stated.as_slice(),
                base.map(|base| base.event_time),
            )
            .execute(&mut **transaction)
            .await
        }
    };
    inserted?;
    Ok(())
}

/// Takes the entity's turn, and lets what was stated whole shine through what was pushed from a moment on.
async fn carry_over<'e>(
    executor: impl sqlx::Executor<'e, Database = Postgres>,
    whose: &Whose,
    since: DateTime<Utc>,
) -> Result<()> {
    let carrying = match whose {
        Whose::Customer(user_id) => {
            sqlx::query!("select carry_over_customer($1, $2)", user_id.as_str(), since)
                .execute(executor)
                .await
        }
        Whose::Product(product_id) => {
            sqlx::query!("select carry_over_product($1, $2)", product_id.as_str(), since)
                .execute(executor)
                .await
        }
    };
    carrying?;
    Ok(())
}
