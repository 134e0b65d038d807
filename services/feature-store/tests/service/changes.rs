//! Refreshes of what has changed, held to full ones.

use finrank_contracts::feature::v1::{EmbeddingStatus, EntityKind, RefreshRun, RefreshScope, RefreshState};
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use tokio::runtime::Runtime;

use crate::support::{
    FeatureStore,
    learned::{PRODUCTS, USERS, computed, found, learn, learned},
    samples::{customer_message, user},
};

async fn refresh_changes(store: &mut FeatureStore) -> RefreshRun {
    let started = store.start_scoped_refresh("m1", RefreshScope::Changes).await.unwrap();
    store.watch_refresh(started.run_id).await.pop().unwrap()
}

#[test]
fn a_generation_of_changes_is_what_a_full_refresh_would_have_computed() {
    let runtime = Runtime::new().unwrap();
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() });
    let rounds = vec(vec(learned(), 0..12), 1..5);

    runner
        .run(&rounds, |rounds| {
            runtime.block_on(async {
                let mut store = FeatureStore::start_filled(USERS - 5, PRODUCTS - 1).await;
                let bundle = store.register_model("m1", 1).await;
                store.refresh("m1").await;
                for round in &rounds {
                    for learned in round {
                        learn(&mut store, learned).await;
                    }
                    let run = refresh_changes(&mut store).await;

                    prop_assert_eq!(run.state(), RefreshState::Complete);
                    prop_assert!(run.base_run_id.is_some());
                    let computed = computed(&store, &bundle).await;
                    for (id, values) in found(&mut store).await {
                        prop_assert_eq!(values.as_ref(), computed.get(&id), "{}", id);
                    }
                }
                Ok(())
            })
        })
        .unwrap();
}

#[tokio::test]
async fn computes_only_who_has_changed_and_keeps_one_row_each_below_the_kept_generations() {
    let mut store = FeatureStore::start_filled(USERS, PRODUCTS).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    let mut computed = Vec::new();

    for round in 1..=4_i64 {
        store.write_customers(vec![customer_message(&user(3), 100 + round)]).await;
        computed.push(refresh_changes(&mut store).await.rows_done);
    }

    assert_eq!(computed, [1, 1, 1, 1]);
    let rows = async |user_id: &str| -> i64 {
        sqlx::query_scalar("select count(*) from user_embeddings where user_id = $1")
            .bind(user_id)
            .fetch_one(store.database.store.pool())
            .await
            .unwrap()
    };
    // Two generations are kept, so that of who changes each time two rows are.
    assert_eq!((rows("u0003").await, rows("u0004").await), (2, 1));
    let states: Vec<String> = sqlx::query_scalar("select state from refresh_runs order by run_id")
        .fetch_all(store.database.store.pool())
        .await
        .unwrap();
    assert_eq!(states, ["merged", "merged", "merged", "complete", "complete"]);
}

#[tokio::test]
async fn a_generation_without_changes_is_whole_all_the_same() {
    let mut store = FeatureStore::start_filled(USERS, PRODUCTS).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    let before = found(&mut store).await;

    let run = refresh_changes(&mut store).await;

    assert_eq!((run.state(), run.rows_total), (RefreshState::Complete, 0));
    assert_eq!(found(&mut store).await, before);
    let served = store.embeddings(EntityKind::User, &["u0001"], "").await.unwrap().generation.unwrap();
    assert_eq!(served.run_id, run.run_id);
}

#[tokio::test]
async fn without_a_generation_to_add_to_everything_is_computed() {
    let mut store = FeatureStore::start_filled(USERS, PRODUCTS).await;
    store.register_model("m1", 1).await;

    let run = refresh_changes(&mut store).await;

    assert_eq!((run.base_run_id, run.rows_done), (None, (USERS + PRODUCTS) as u64));
}

#[tokio::test]
async fn a_run_of_changes_that_failed_goes_on_with_what_is_missing() {
    let mut store = FeatureStore::start_filled(USERS, PRODUCTS).await;
    store.register_model("m1", 1).await;
    let full = store.refresh("m1").await;
    store.write_customers((0..USERS).map(|index| customer_message(&user(index), 200)).collect()).await;
    store.refuse_embedding_of("u0015").await;
    let failed = refresh_changes(&mut store).await;
    let found_meanwhile = store.embeddings(EntityKind::User, &["u0001"], "").await.unwrap();
    store.refuse_no_more().await;

    let started = store.start_scoped_refresh("m1", RefreshScope::Changes).await.unwrap();
    let resumed = store.watch_refresh(started.run_id).await.pop().unwrap();

    assert_eq!((failed.state(), failed.base_run_id), (RefreshState::Failed, Some(full.run_id)));
    assert_eq!(found_meanwhile.generation.unwrap().run_id, full.run_id, "readers stay on the last whole one");
    assert_eq!((started.run_id, started.resumed), (failed.run_id, true));
    assert_eq!((resumed.state(), resumed.rows_done), (RefreshState::Complete, USERS as u64));
}

#[tokio::test]
async fn changes_of_another_model_do_not_meet() {
    let mut store = FeatureStore::start_filled(USERS, PRODUCTS).await;
    let first = store.register_model("m1", 1).await;
    store.register_model("m2", 2).await;
    store.refresh("m1").await;
    store.refresh("m2").await;
    store.write_customers(vec![customer_message(&user(3), 200)]).await;

    let run = refresh_changes(&mut store).await;

    assert_eq!((run.state(), run.rows_done), (RefreshState::Complete, 1));
    let of_the_first = computed(&store, &first).await;
    let answer = store.embeddings(EntityKind::User, &["u0003", "u0004"], "m1").await.unwrap();
    for result in answer.results {
        assert_eq!(result.status(), EmbeddingStatus::Present);
        assert_eq!(result.embedding.unwrap().values, of_the_first[&result.id], "{}", result.id);
    }
}
