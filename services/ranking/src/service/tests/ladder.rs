//! The ladder without a feature store: what of its answers leads where. That it does is tested end to end.

use chrono::Utc;
use finrank_contracts::feature::v1::{FeatureStatus, FeatureValue, feature_value::Value};
use finrank_model::ModelVersion;
use finrank_policy::Policy;

use super::*;
use crate::{
    DegradationConfig,
    facts::GivenFacts,
    fixtures::spaced,
    pipeline::{Basis, Reason, Rung},
    popularity::Popularity,
    service::{
        eligibility::KnownCustomer,
        ladder::{Footing, NoEmbedding},
    },
};

const POLICY: &str = r#"
format = 1
version = "test"
source = { service = "s", purpose = "p" }
fact = [{ name = "objection", feature = "v:objection", type = "flag" }]
profiling = { objection = "objection", popularity = "w:holders", purpose = "p" }

[[rule]]
code = "STATUS"
kind = "product_status"
description = "d"
regulation = "r"
"#;

fn user_id() -> UserId {
    UserId::parse("u").unwrap()
}

/// A customer who has said whether they object to profiling; with neither there is no such customer.
fn known(policy: &Policy, objects: Option<bool>) -> KnownCustomer {
    let status = if objects.is_some() { FeatureStatus::Present } else { FeatureStatus::NotFound };
    let value = FeatureValue { status: status.into(), event_time: None, value: objects.map(Value::Flag) };
    let given = GivenFacts::new(vec!["v:objection".to_owned()], vec![value]).unwrap();
    KnownCustomer::at(Utc::now(), policy, user_id(), given, vec![])
}

fn embedding_told() -> UserEmbedding {
    UserEmbedding { embedding: spaced(&generation(1), [1.0; DIMENSION]), run_id: 1 }
}

fn refused(code: Code) -> NoEmbedding {
    RankingError::FeatureStore(Status::new(code, "a fault")).into()
}

fn products() -> Catalogue {
    catalogue(&generation(1), &[active(ProductClass::Loan, [1.0; DIMENSION])])
}

#[test]
fn what_only_stands_in_the_way_of_a_lookup_degrades_and_a_misunderstanding_is_refused() {
    let policy = Policy::parse(POLICY).unwrap();
    let ladder = Ladder::new(DegradationConfig::default());
    let foot = |embedding| ladder.footing(&known(&policy, Some(false)), &policy, &products(), embedding);
    foot(Ok(embedding_told())).unwrap();

    let reason_of = |missing: NoEmbedding| match foot(Err(missing)) {
        Ok(footing) => ladder.basis(footing, None).unwrap().1.map(|degradation| degradation.reason),
        Err(_) => None,
    };
    let outdated = RankingError::CatalogueOutdated { model_version: ModelVersion::parse("m1").unwrap() };

    for code in [Code::Unavailable, Code::ResourceExhausted, Code::Internal, Code::Unknown] {
        assert_eq!(reason_of(refused(code)), Some(Reason::EmbeddingUnavailable), "{code}");
    }
    for code in [Code::DeadlineExceeded, Code::Cancelled] {
        assert_eq!(reason_of(refused(code)), Some(Reason::EmbeddingLate), "{code}");
    }
    assert_eq!(reason_of(outdated.into()), Some(Reason::ModelOutdated));
    for code in [Code::InvalidArgument, Code::PermissionDenied, Code::Unimplemented] {
        assert_eq!(reason_of(refused(code)), None, "{code}");
    }
    assert_eq!(reason_of(RankingError::BadAnswer("nonsense".to_owned()).into()), None);
}

#[test]
fn who_objects_to_profiling_or_is_new_or_not_known_any_more_is_forgotten() {
    let policy = Policy::parse(POLICY).unwrap();
    let popularity = Arc::new(Popularity::new(vec![1.0]));
    let new = || RankingError::UserNotMaterialised(user_id()).into();
    let after = |objects, embedding| {
        let ladder = Ladder::new(DegradationConfig::default());
        let foot =
            |objects, embedding| ladder.footing(&known(&policy, objects), &policy, &products(), embedding);
        foot(Some(false), Ok(embedding_told())).unwrap();
        let footing = foot(objects, embedding);
        let later = foot(Some(false), Err(refused(Code::Unavailable))).unwrap();
        let (_, degradation) = ladder.basis(later, Some(&popularity)).unwrap();
        (footing, degradation.unwrap().rung)
    };

    let (kept, stale) = after(Some(false), Err(refused(Code::Unavailable)));
    let (objecting, of_objecting) = after(Some(true), Ok(embedding_told()));
    let (nobody, of_nobody) = after(None, Err(refused(Code::Unavailable)));
    let (renewed, of_renewed) = after(Some(false), Err(new()));

    assert!(matches!((kept, stale), (Ok(Footing::Stale(..)), Rung::Stale { .. })));
    assert!(matches!((objecting, of_objecting), (Ok(Footing::Popularity), Rung::Fallback)));
    assert!(matches!((nobody, of_nobody), (Err(RankingError::UserNotFound(_)), Rung::Fallback)));
    assert!(matches!((renewed, of_renewed), (Ok(Footing::Fallback { .. }), Rung::Fallback)));
}

#[test]
fn a_catalogue_without_products_is_answered_with_nothing_and_says_so() {
    let policy = Policy::parse(POLICY).unwrap();
    let ladder = Ladder::new(DegradationConfig::default());
    let nothing = catalogue(&generation(1), &[]);

    let footing =
        ladder.footing(&known(&policy, Some(false)), &policy, &nothing, Ok(embedding_told())).unwrap();
    let (basis, degradation) = ladder.basis(footing, None).unwrap();

    let degradation = degradation.unwrap();
    assert!(matches!(basis, Basis::Nothing));
    assert_eq!((degradation.rung, degradation.reason), (Rung::Empty, Reason::CatalogueEmpty));
}
