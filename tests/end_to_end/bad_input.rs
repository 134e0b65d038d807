//! What is refused, with which code, and naming what: nothing may panic, and nothing may be lost.

use finrank_contracts::{
    common::v1::{AttributeValue, Customer, attribute_value::Kind},
    feature::v1::{
        BatchGetEmbeddingsRequest, EntityKind, StartRefreshRequest, WatchRefreshRequest,
        WriteCustomersRequest,
    },
    ranking::v1::{
        QueryVector, RecommendRequest, RetrieveRequest, ScoreRequest, SimilarProductsRequest,
        retrieve_request::Query,
    },
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::world::World;

/// The fields that a refusal names.
fn fields(status: &Status) -> Vec<String> {
    let bad = status.get_details_bad_request();
    let violations = bad.map(|bad| bad.field_violations).unwrap_or_default();
    violations.into_iter().map(|violation| violation.field).collect()
}

/// The stable reason that a refusal carries.
fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "finrank");
    info.reason
}

async fn refused_recommendation(user_id: &str, k: u32) -> Status {
    let request = RecommendRequest { user_id: user_id.to_owned(), k, ..Default::default() };
    World::shared().await.ranking().await.recommend(request).await.unwrap_err()
}

#[tokio::test]
async fn k_must_be_1_to_500() {
    let user_id = World::shared().await.user_ids[0].clone();

    for k in [0, 501, u32::MAX] {
        let status = refused_recommendation(&user_id, k).await;

        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!(fields(&status), ["k"]);
    }
}

#[tokio::test]
async fn an_unknown_customer_is_not_found() {
    let status = refused_recommendation("nobody", 5).await;

    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(reason(&status), "USER_NOT_FOUND");
    assert!(status.message().contains("nobody"));
}

#[tokio::test]
async fn an_empty_user_id_names_its_field() {
    let status = refused_recommendation("", 5).await;

    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(fields(&status), ["user_id"]);
}

#[tokio::test]
async fn a_query_vector_must_be_finite_of_the_right_dimension_and_of_the_space_that_is_served() {
    let world = World::shared().await;
    let mut ranking = world.ranking().await;
    let versions = ranking
        .recommend(RecommendRequest { user_id: world.user_ids[0].clone(), k: 1, ..Default::default() })
        .await
        .unwrap()
        .into_inner()
        .versions
        .unwrap();
    let mut refuse = async |values: Vec<f32>, embedding_space: &str| {
        let vector = QueryVector { values, embedding_space: embedding_space.to_owned() };
        ranking
            .retrieve(RetrieveRequest { query: Some(Query::Vector(vector)), k: 3, scenario: 0 })
            .await
            .unwrap_err()
    };

    let mut with_nan = vec![0.5; 64];
    with_nan[7] = f32::NAN;
    let not_finite = refuse(with_nan, &versions.embedding_space).await;
    let short = refuse(vec![0.5; 63], &versions.embedding_space).await;
    let elsewhere = refuse(vec![0.5; 64], "another-space").await;

    assert_eq!(not_finite.code(), Code::InvalidArgument);
    assert_eq!(fields(&not_finite), ["vector.values"]);
    assert!(not_finite.message().contains("7"), "{not_finite:?}");
    assert_eq!(short.code(), Code::InvalidArgument);
    assert_eq!(fields(&short), ["vector.values"]);
    assert_eq!(elsewhere.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn an_unknown_product_is_not_found_in_score_and_similar_products() {
    let world = World::shared().await;
    let mut ranking = world.ranking().await;

    let score = ScoreRequest { user_id: world.user_ids[0].clone(), product_ids: vec!["nothing".into()] };
    let scored = ranking.score(score).await.unwrap_err();
    let similar = SimilarProductsRequest { product_id: "nothing".into(), k: 3 };
    let compared = ranking.similar_products(similar).await.unwrap_err();

    for status in [scored, compared] {
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().contains("nothing"), "{status:?}");
    }
}

#[tokio::test]
async fn a_model_version_that_does_not_exist_is_named() {
    let mut store = World::shared().await.feature_store().await;

    let refresh = StartRefreshRequest { model_version: "never-trained".into(), ..Default::default() };
    let refresh = store.start_refresh(refresh).await.unwrap_err();
    let embeddings = BatchGetEmbeddingsRequest {
        entity: EntityKind::User.into(),
        ids: vec!["anyone".into()],
        model_version: "never-trained".into(),
    };
    let embeddings = store.batch_get_embeddings(embeddings).await.unwrap_err();

    assert_eq!(refresh.code(), Code::NotFound);
    assert_eq!(reason(&refresh), "MODEL_VERSION_NOT_FOUND");
    assert!(refresh.message().contains("never-trained"));
    assert_eq!(embeddings.code(), Code::FailedPrecondition);
    assert!(embeddings.message().contains("never-trained"));
}

#[tokio::test]
async fn a_refresh_run_that_does_not_exist_is_not_found() {
    let mut store = World::shared().await.feature_store().await;

    let status = store.watch_refresh(WatchRefreshRequest { run_id: 1 << 40 }).await.unwrap_err();

    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn a_bad_customer_is_rejected_alone_and_named() {
    let world = World::shared().await;
    let mut store = world.feature_store().await;
    let customer = |user_id: &str, income: f64| Customer {
        user_id: user_id.to_owned(),
        attributes: [("income".to_owned(), AttributeValue { kind: Some(Kind::Number(income)) })].into(),
        event_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        ..Default::default()
    };
    let customers = vec![customer("zz-good", 1.0), customer("zz-bad", f64::NAN), customer("", 1.0)];

    let stream = tokio_stream::iter([WriteCustomersRequest { customers }]);
    let summary = store.write_customers(stream).await.unwrap().into_inner().summary.unwrap();

    assert_eq!((summary.accepted, summary.duplicate, summary.rejected), (1, 0, 2));
    assert_eq!(summary.rejections[0].row, 1);
    assert_eq!(summary.rejections[0].id, "zz-bad");
    assert_eq!(summary.rejections[0].field, "attributes[income]");
    assert_eq!(summary.rejections[1].field, "user_id");
}
