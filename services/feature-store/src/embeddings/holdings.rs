//! Who holds what, by the definition that towers are trained on: the view `holdings`.

use finrank_model::UserId;
use finrank_store::Store;

use crate::Result;

/// Products that each customer holds, one list per id asked for, each in the order of the products' ids.
///
/// # Errors
/// When Postgres does not answer.
pub(crate) async fn holdings(store: &Store, user_ids: &[UserId]) -> Result<Vec<Vec<String>>> {
    let asked: Vec<&str> = user_ids.iter().map(UserId::as_str).collect();
    let held = sqlx::query_scalar!(
        r#"select array(
               select product_id
               from holdings
               where holdings.user_id = asked.user_id
               order by product_id
           ) as "held!"
           from unnest($1::text[]) with ordinality as asked (user_id, place)
           order by place"#,
        &asked as _,
    )
    .fetch_all(store.pool())
    .await?;
    Ok(held)
}
