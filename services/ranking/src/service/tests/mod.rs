//! The contract over a real socket, for all that needs no feature store. What does is tested end to end.

mod ladder;
mod replay;
mod swap;

use std::net::SocketAddr;

use finrank_contracts::ranking::v1::{
    BatchRecommendRequest, ProductFilters, QueryVector, RecommendRequest, RetrieveRequest, RetrieveResponse,
    ScoreRequest, SelectionWishes, SimilarProductsRequest, ranking_service_client::RankingServiceClient,
    ranking_service_server::RankingServiceServer, retrieve_request::Query,
};
use finrank_model::{ProductClass, ProductStatus};
use prost_types::FieldMask;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code,
    transport::{Channel, Server},
};
use tonic_types::StatusExt;

use super::*;
use crate::{
    DegradationConfig, PolicyConfig, SelectionConfig,
    fixtures::{DIMENSION, Sample, catalogue, generation},
};

/// The service with nobody where the feature store should be, and without a log.
fn unconnected(current: Arc<CurrentCatalogue>, policies: Policies) -> RankingService {
    RankingService {
        current,
        traffic: Arc::default(),
        shadow: None,
        policies: Arc::new(policies),
        selections: Arc::new(Selections::load(&SelectionConfig::default()).unwrap()),
        popularity: Arc::default(),
        ladder: Arc::new(Ladder::new(DegradationConfig::default())),
        feature_store: FeatureStore::at("http://127.0.0.1:1").unwrap(),
        pseudonyms: Pseudonyms::load(None).unwrap(),
        pipeline: Arc::new(Pipeline::new(500)),
        batches: Arc::new(Semaphore::new(1)),
        log: None,
        explanation_purpose: "marketing".into(),
        reasons: Arc::default(),
    }
}

/// The service on a free port, with nobody where the feature store should be.
async fn served(current: Arc<CurrentCatalogue>) -> RankingServiceClient<Channel> {
    let service = unconnected(current, Policies::load(&PolicyConfig::default()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let server = Server::builder().add_service(RankingServiceServer::new(service));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    RankingServiceClient::connect(format!("http://{address}")).await.unwrap()
}

async fn serving(samples: &[Sample]) -> RankingServiceClient<Channel> {
    let current = Arc::new(CurrentCatalogue::default());
    current.publish(catalogue(&generation(1), samples));
    served(current).await
}

fn active(class: ProductClass, vector: [f32; DIMENSION]) -> Sample {
    Sample { class, status: ProductStatus::Active, vector }
}

fn withdrawn(vector: [f32; DIMENSION]) -> Sample {
    Sample { class: ProductClass::Loan, status: ProductStatus::Withdrawn, vector }
}

fn by_vector(values: &[f32], space: &str, k: u32) -> RetrieveRequest {
    let vector = QueryVector { values: values.to_vec(), embedding_space: space.to_owned() };
    RetrieveRequest { query: Some(Query::Vector(vector)), k, scenario: 0 }
}

fn recommend(user_id: &str, k: u32) -> RecommendRequest {
    RecommendRequest { user_id: user_id.to_owned(), k, ..Default::default() }
}

fn fields(status: &Status) -> Vec<String> {
    let details = status.get_details_bad_request().unwrap();
    details.field_violations.into_iter().map(|violation| violation.field).collect()
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap().reason
}

fn ids(response: &RetrieveResponse) -> Vec<&str> {
    response.candidates.iter().map(|candidate| candidate.product_id.as_str()).collect()
}

#[tokio::test]
async fn all_faults_of_a_request_are_named_at_once() {
    let mut ranking = serving(&[]).await;
    let request = RecommendRequest {
        scenario: 99,
        exclude_product_ids: vec!["p".to_owned(); 1001],
        debug: Some(FieldMask { paths: vec!["stages".to_owned(), "speed".to_owned()] }),
        selection: Some(SelectionWishes { diversity: Some(1.5) }),
        filters: Some(ProductFilters {
            product_classes: vec![1, 0],
            issuers: vec![String::new()],
            product_ids: vec!["p".to_owned(); 1001],
        }),
        ..recommend("", 0)
    };

    let refusal = ranking.recommend(request).await.unwrap_err();

    assert_eq!(refusal.code(), Code::InvalidArgument);
    let expected = [
        "user_id",
        "k",
        "scenario",
        "exclude_product_ids",
        "selection.diversity",
        "debug.paths[1]",
        "filters.product_classes[1]",
        "filters.issuers[0]",
        "filters.product_ids",
    ];
    assert_eq!(fields(&refusal), expected);
}

#[tokio::test]
async fn a_bad_message_ends_a_batch_with_all_its_faults() {
    let mut ranking = serving(&[]).await;
    let named = |user_ids: &[&str], request| BatchRecommendRequest {
        user_ids: user_ids.iter().map(ToString::to_string).collect(),
        request,
    };
    let cases = [
        (named(&["a", ""], Some(recommend("", 0))), vec!["user_ids[1]", "request.k"]),
        (named(&[], Some(recommend("a", 1))), vec!["user_ids", "request.user_id"]),
        (named(&["a"; 1001], None), vec!["user_ids", "request"]),
    ];

    for (message, expected) in cases {
        let answers = ranking.batch_recommend(tokio_stream::iter([message])).await.unwrap();
        let refusal = answers.into_inner().message().await.unwrap_err();

        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert_eq!(fields(&refusal), expected);
    }
}

#[tokio::test]
async fn k_is_1_to_500_in_every_request_that_has_one() {
    let mut ranking = serving(&[]).await;

    for k in [0, 501, u32::MAX] {
        let similar = SimilarProductsRequest { product_id: "p0000".to_owned(), k };
        let refusals = [
            ranking.recommend(recommend("u", k)).await.unwrap_err(),
            ranking.retrieve(by_vector(&[0.0; DIMENSION], "s1", k)).await.unwrap_err(),
            ranking.similar_products(similar).await.unwrap_err(),
        ];

        for refusal in refusals {
            assert_eq!(refusal.code(), Code::InvalidArgument);
            assert_eq!(fields(&refusal), ["k"]);
            assert!(refusal.message().contains("1 to 500"), "{refusal:?}");
        }
    }
}

#[tokio::test]
async fn a_bad_id_in_a_list_is_named_by_its_place() {
    let mut ranking = serving(&[]).await;
    let exclude_product_ids = vec!["p0000".to_owned(), String::new()];
    let score = |product_ids| ScoreRequest { user_id: "u".to_owned(), product_ids };

    let excluded =
        ranking.recommend(RecommendRequest { exclude_product_ids, ..recommend("u", 1) }).await.unwrap_err();
    let malformed = ranking.score(score(vec!["a\nb".to_owned()])).await.unwrap_err();
    let none = ranking.score(score(vec![])).await.unwrap_err();
    let many = ranking.score(score(vec!["p".to_owned(); 1001])).await.unwrap_err();

    assert_eq!(fields(&excluded), ["exclude_product_ids[1]"]);
    assert_eq!(fields(&malformed), ["product_ids[0]"]);
    assert_eq!(fields(&none), ["product_ids"]);
    assert_eq!(fields(&many), ["product_ids"]);
}

#[tokio::test]
async fn without_a_catalogue_every_rpc_is_unavailable_and_says_when_to_retry() {
    let mut ranking = served(Arc::default()).await;
    let score = ScoreRequest { user_id: "u".to_owned(), product_ids: vec!["p".to_owned()] };
    let similar = SimilarProductsRequest { product_id: "p".to_owned(), k: 1 };

    let refusals = [
        ranking.recommend(recommend("u", 1)).await.unwrap_err(),
        ranking.retrieve(by_vector(&[0.0; DIMENSION], "s1", 1)).await.unwrap_err(),
        ranking.score(score).await.unwrap_err(),
        ranking.similar_products(similar).await.unwrap_err(),
    ];

    for refusal in refusals {
        assert_eq!(refusal.code(), Code::Unavailable);
        assert_eq!(reason(&refusal), "NO_CATALOGUE");
        assert!(refusal.get_details_retry_info().unwrap().retry_delay.is_some());
    }
}

#[tokio::test]
async fn without_a_feature_store_a_customer_cannot_be_ranked_for_now() {
    let mut ranking = serving(&[active(ProductClass::Loan, [1.0; DIMENSION])]).await;

    let refusal = ranking.recommend(recommend("u", 1)).await.unwrap_err();

    assert_eq!(refusal.code(), Code::Unavailable);
    assert_eq!(reason(&refusal), "FEATURE_STORE_UNAVAILABLE");
    assert!(refusal.get_details_retry_info().unwrap().retry_delay.is_some());
}

#[tokio::test]
async fn retrieves_the_largest_inner_products_of_the_scenario_without_withdrawn_products() {
    let samples = [
        active(ProductClass::Loan, [1.0, 0.0, 0.0, 0.0]),
        withdrawn([9.0, 0.0, 0.0, 0.0]),
        active(ProductClass::CreditCard, [3.0, 0.0, 0.0, 0.0]),
        active(ProductClass::Wealth, [2.0, 0.0, 0.0, 0.0]),
    ];
    let mut ranking = serving(&samples).await;
    let request = by_vector(&[1.0, 0.0, 0.0, 0.0], "s1", 10);

    let all = ranking.retrieve(request.clone()).await.unwrap().into_inner();
    let credit = RetrieveRequest { scenario: v1::Scenario::Credit.into(), ..request.clone() };
    let credit = ranking.retrieve(credit).await.unwrap().into_inner();
    let first = ranking.retrieve(RetrieveRequest { k: 1, ..request }).await.unwrap().into_inner();

    assert_eq!(ids(&all), ["p0002", "p0003", "p0000"]);
    assert_eq!(ids(&credit), ["p0002", "p0000"]);
    assert_eq!(ids(&first), ["p0002"]);
    assert_eq!(all.candidates[0].retrieval_score, 3.0);
    assert_eq!(all.candidates[0].name, "Product 2");
    let versions = all.versions.unwrap();
    assert_eq!((versions.model_version.as_str(), versions.index_generation), ("m1", 1));
}

#[tokio::test]
async fn a_query_vector_must_be_finite_of_the_right_dimension_and_not_too_long() {
    let mut ranking = serving(&[active(ProductClass::Loan, [1e20; DIMENSION])]).await;

    for values in [
        &[0.0, 0.0, f32::NAN, 0.0][..],
        &[0.0; DIMENSION - 1],
        &[0.0; DIMENSION + 1],
        &[],
        &[1e19; DIMENSION],
    ] {
        let refusal = ranking.retrieve(by_vector(values, "s1", 1)).await.unwrap_err();

        assert_eq!(refusal.code(), Code::InvalidArgument, "{values:?}");
        assert_eq!(fields(&refusal), ["vector.values"], "{values:?}");
    }
}

#[tokio::test]
async fn a_query_vector_of_another_or_no_space_is_refused() {
    let mut ranking = serving(&[]).await;

    let another = ranking.retrieve(by_vector(&[0.0; DIMENSION], "s2", 1)).await.unwrap_err();
    let none = ranking.retrieve(by_vector(&[0.0; DIMENSION], "", 1)).await.unwrap_err();
    let nothing = ranking.retrieve(RetrieveRequest { query: None, k: 1, scenario: 0 }).await.unwrap_err();

    assert_eq!(another.code(), Code::FailedPrecondition);
    assert_eq!(reason(&another), "EMBEDDING_SPACE_MISMATCH");
    assert_eq!(fields(&none), ["vector.embedding_space"]);
    assert_eq!(fields(&nothing), ["query"]);
}

#[tokio::test]
async fn similar_products_are_those_of_nearly_one_direction_whatever_their_length() {
    let samples = [
        active(ProductClass::Loan, [1.0, 0.0, 0.0, 0.0]),
        active(ProductClass::Wealth, [1.0, 1.0, 0.0, 0.0]),
        active(ProductClass::Loan, [50.0, 50.0, 50.0, 50.0]),
        active(ProductClass::Loan, [-2.0, 0.0, 0.0, 0.0]),
        active(ProductClass::Loan, [0.0; DIMENSION]),
        withdrawn([1.0, 0.0, 0.0, 0.0]),
    ];
    let mut ranking = serving(&samples).await;
    let similar_to = |product_id: &str| SimilarProductsRequest { product_id: product_id.to_owned(), k: 10 };

    let similar = ranking.similar_products(similar_to("p0000")).await.unwrap().into_inner().products;
    let to_withdrawn = ranking.similar_products(similar_to("p0005")).await.unwrap().into_inner().products;

    let found: Vec<&str> = similar.iter().map(|product| product.product_id.as_str()).collect();
    assert_eq!(found, ["p0001", "p0002", "p0004", "p0003"]);
    for (product, cosine) in similar.iter().zip([0.5_f64.sqrt(), 0.5, 0.0, -1.0]) {
        assert!((product.similarity - cosine).abs() < 1e-6, "{product:?}");
    }
    assert_eq!(to_withdrawn[0].product_id, "p0000");
}

#[tokio::test]
async fn similar_products_to_an_unknown_one_are_not_found() {
    let mut ranking = serving(&[]).await;
    let request = SimilarProductsRequest { product_id: "nothing".to_owned(), k: 1 };

    let refusal = ranking.similar_products(request).await.unwrap_err();

    assert_eq!(refusal.code(), Code::NotFound);
    assert_eq!(reason(&refusal), "PRODUCT_NOT_FOUND");
    assert!(refusal.message().contains("nothing"), "{refusal:?}");
}
