//! Live embeddings and refreshes in any order, held to a full refresh of all that is known.

use finrank_contracts::feature::v1::{EntityKind, RefreshScope, RefreshState, StartRefreshRequest};
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use tokio::runtime::Runtime;

use crate::support::{
    FeatureStore,
    learned::{Learned, PRODUCTS, USERS, computed, found, learn, learned},
};

#[derive(Clone, Debug)]
enum Act {
    Learn(Learned),
    /// Waits until live embeddings know all.
    Settle,
    Refresh(RefreshScope, EntityKind),
    /// Begins a refresh and does not wait for it.
    BeginRefresh(RefreshScope),
}

fn act() -> impl Strategy<Value = Act> {
    let scope = || prop::sample::select(vec![RefreshScope::Full, RefreshScope::Changes]);
    let only = prop::sample::select(vec![EntityKind::Unspecified, EntityKind::User, EntityKind::Product]);
    prop_oneof![
        12 => learned().prop_map(Act::Learn),
        2 => Just(Act::Settle),
        2 => (scope(), only).prop_map(|(scope, only)| Act::Refresh(scope, only)),
        1 => scope().prop_map(Act::BeginRefresh),
    ]
}

async fn carry_out(store: &mut FeatureStore, act: &Act) {
    match act {
        Act::Learn(learned) => learn(store, learned).await,
        Act::Settle => store.until_live("m1").await,
        Act::Refresh(scope, only) => {
            let request = StartRefreshRequest {
                model_version: "m1".to_owned(),
                scope: (*scope).into(),
                only: (*only).into(),
                ..StartRefreshRequest::default()
            };
            let run = store.start_requested_refresh(request).await.unwrap();
            let ended = store.watch_refresh(run.run_id).await.pop().unwrap();
            assert_eq!(ended.state(), RefreshState::Complete);
        }
        Act::BeginRefresh(scope) => {
            store.start_scoped_refresh("m1", *scope).await.unwrap();
        }
    }
}

#[test]
fn any_order_of_writes_steps_and_refreshes_ends_with_what_a_full_refresh_computes() {
    let runtime = Runtime::new().unwrap();
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() });

    runner
        .run(&vec(act(), 1..30), |acts| {
            runtime.block_on(async {
                let mut store = FeatureStore::start_filled_live(USERS - 5, PRODUCTS - 1).await;
                let bundle = store.register_model("m1", 1).await;
                store.refresh("m1").await;

                for act in &acts {
                    carry_out(&mut store, act).await;
                }
                store.until_live("m1").await;

                let computed = computed(&store, &bundle).await;
                for (id, values) in found(&mut store).await {
                    prop_assert_eq!(values.as_ref(), computed.get(&id), "live: {}", id);
                }
                carry_out(&mut store, &Act::Refresh(RefreshScope::Full, EntityKind::Unspecified)).await;
                for (id, values) in found(&mut store).await {
                    prop_assert_eq!(values.as_ref(), computed.get(&id), "refreshed: {}", id);
                }
                Ok(())
            })
        })
        .unwrap();
}
