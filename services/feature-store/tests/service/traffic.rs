//! Which versions are beside the one that is served, in the registry's contract.

use finrank_contracts::{
    feature::v1::EntityKind,
    model::v1::{Experiment, GetTrafficRequest, GetTrafficResponse, SetTrafficRequest, Traffic},
};
use finrank_store::models::Verdict;
use tonic::{Code, Status};

use crate::{
    promotions::{check, promote_passing, reason, registry, roll_back},
    support::FeatureStore,
};

fn experiment(treatment: &str) -> Option<Experiment> {
    Some(Experiment {
        name: "spring".into(),
        treatment_version: treatment.into(),
        share_of_ten_thousand: 1000,
    })
}

async fn set(store: &FeatureStore, experiment: Option<Experiment>, shadow: &str) -> Result<Traffic, Status> {
    let request = SetTrafficRequest {
        experiment,
        shadow_version: shadow.into(),
        set_by: "alice".into(),
        reason: "to try it".into(),
    };
    Ok(registry(store).set_traffic(request).await?.into_inner().traffic.unwrap())
}

async fn told(store: &FeatureStore) -> GetTrafficResponse {
    registry(store).get_traffic(GetTrafficRequest {}).await.unwrap().into_inner()
}

/// A store that serves m1, with m2 and m3 whole beside it.
async fn three_whole() -> FeatureStore {
    let mut store = FeatureStore::start_filled(3, 2).await;
    for (seed, version) in (1..).zip(["m1", "m2", "m3"]) {
        store.register_model(version, seed).await;
        store.refresh(version).await;
        if version == "m1" {
            promote_passing(&store, version).await;
        }
    }
    store
}

#[tokio::test]
async fn a_treatment_must_pass_what_a_promotion_must_and_a_shadow_must_be_whole() {
    let mut store = FeatureStore::start_filled(3, 2).await;
    for (seed, version) in (1..).zip(["m1", "m2", "m3"]) {
        store.register_model(version, seed).await;
    }
    store.refresh("m1").await;
    let nothing_served = set(&store, None, "m2").await.unwrap_err();
    promote_passing(&store, "m1").await;

    let unchecked = set(&store, experiment("m2"), "m3").await.unwrap_err();
    check(&store, "m2", Verdict::Fail).await;
    let failed = set(&store, experiment("m2"), "").await.unwrap_err();
    store.refresh("m2").await;
    check(&store, "m2", Verdict::Pass).await;
    let served = set(&store, experiment("m1"), "m1").await.unwrap_err();
    let twice = set(&store, experiment("m2"), "m2").await.unwrap_err();
    let nothing = set(&store, None, "").await.unwrap_err();
    let unknown = set(&store, experiment("m9"), "").await.unwrap_err();
    let most = Experiment { share_of_ten_thousand: 5001, ..experiment("m2").unwrap() };
    let most = set(&store, Some(most), "").await.unwrap_err();
    let traffic = set(&store, experiment("m2"), "").await.unwrap();
    store.replace_bundle("m2", 9);
    let damaged = set(&store, experiment("m2"), "").await.unwrap_err();

    let refused = (Code::FailedPrecondition, "TRAFFIC_REFUSED".to_owned());
    for refusal in [&nothing_served, &unchecked, &failed, &served, &twice, &nothing] {
        assert_eq!(reason(refusal), refused, "{refusal}");
    }
    for against in
        ["treatment m2: its gates were not checked", "treatment m2: no refresh is whole", "shadow m3: no"]
    {
        assert!(unchecked.message().contains(against), "{unchecked}");
    }
    assert!(
        failed.message().contains("treatment m2: selection-ratio/loan/age: the ratio is 0.6"),
        "{failed}"
    );
    for against in ["treatment m1: it is served already", "shadow m1: it is served"] {
        assert!(served.message().contains(against), "{served}");
    }
    assert!(
        twice.message().ends_with("it is the treatment, and is measured by what customers do"),
        "{twice}"
    );
    assert_eq!(reason(&unknown), (Code::NotFound, "MODEL_VERSION_NOT_FOUND".to_owned()));
    assert_eq!(most.code(), Code::InvalidArgument);
    assert!(most.message().contains("experiment.share_of_ten_thousand"), "{most}");
    assert_eq!(reason(&damaged), (Code::FailedPrecondition, "BUNDLE_UNUSABLE".to_owned()));
    let expected = Traffic {
        control_version: "m1".into(),
        experiment: experiment("m2"),
        set_by: "alice".into(),
        reason: "to try it".into(),
        ..Default::default()
    };
    let Traffic { traffic_id, check_id, set_at, .. } = traffic;
    assert_eq!(traffic, Traffic { traffic_id, check_id, set_at, ..expected });
    assert!(check_id.is_some());
    assert_eq!(told(&store).await.traffic, Some(traffic));
}

#[tokio::test]
async fn traffic_ends_with_the_next_promotion_for_good_and_when_it_is_ended() {
    let store = three_whole().await;
    let never = told(&store).await;
    check(&store, "m2", Verdict::Pass).await;
    let in_force = set(&store, experiment("m2"), "m3").await.unwrap();

    promote_passing(&store, "m2").await;
    roll_back(&store).await.unwrap();
    let ended = told(&store).await;
    let again = set(&store, None, "m3").await.unwrap();
    let stopped = set(&store, None, "").await.unwrap();
    let twice = set(&store, None, "").await.unwrap_err();

    assert_eq!((never.traffic, never.serving_version.as_str()), (None, "m1"));
    assert_eq!(in_force.ended_by_promotion_id, None);
    assert_eq!(ended.serving_version, "m1", "what was served then is served again");
    assert_eq!(ended.traffic, Some(Traffic { ended_by_promotion_id: Some(2), ..in_force }));
    assert_eq!((again.shadow_version.as_str(), again.experiment), ("m3", None));
    assert_eq!((stopped.shadow_version.as_str(), stopped.ended_by_promotion_id), ("", None));
    assert_eq!(reason(&twice).1, "TRAFFIC_REFUSED");
}

#[tokio::test]
async fn generations_in_traffic_outlive_refreshes_of_others_and_go_when_it_ends() {
    let mut store = three_whole().await;
    check(&store, "m2", Verdict::Pass).await;
    set(&store, experiment("m2"), "m3").await.unwrap();

    // Two generations are kept beside those that are in use.
    for _ in 0..3 {
        store.refresh("m1").await;
    }
    let kept = [
        store.embeddings(EntityKind::User, &["u0000"], "m2").await.is_ok(),
        store.embeddings(EntityKind::User, &["u0000"], "m3").await.is_ok(),
    ];
    set(&store, None, "m3").await.unwrap();
    store.refresh("m1").await;

    let dropped = store.embeddings(EntityKind::User, &["u0000"], "m2").await.unwrap_err();
    let still = store.embeddings(EntityKind::User, &["u0000"], "m3").await;
    assert_eq!(kept, [true, true]);
    assert_eq!(dropped.code(), Code::FailedPrecondition);
    assert!(still.is_ok(), "{still:?}");
}
