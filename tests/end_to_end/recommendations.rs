//! What the ranking service answers, against what the feature store holds.

use std::collections::{HashMap, HashSet};

use finrank_contracts::{
    common::v1::ProductClass,
    feature::v1::{BatchGetEmbeddingsRequest, BatchGetHoldingsRequest, EntityKind},
    ranking::v1::{
        EligibilityVerdict, ExplainEligibilityRequest, PipelineStage, ProductEligibility, QueryVector,
        RecommendRequest, Recommendation, RetrieveRequest, Scenario, ScoreRequest, SimilarProductsRequest,
        StageReport, retrieve_request::Query,
    },
};
use prost_types::FieldMask;

use crate::world::{PRODUCTS, World};

fn for_user(user_id: &str, k: u32) -> RecommendRequest {
    RecommendRequest { user_id: user_id.to_owned(), k, ..Default::default() }
}

async fn held(world: &World, user_ids: &[String]) -> HashMap<String, HashSet<String>> {
    let request = BatchGetHoldingsRequest { user_ids: user_ids.to_vec() };
    let response = world.feature_store().await.batch_get_holdings(request).await.unwrap().into_inner();
    response
        .results
        .into_iter()
        .map(|result| (result.user_id, result.product_ids.into_iter().collect()))
        .collect()
}

#[tokio::test]
async fn offers_k_products_best_first_with_names_and_versions() {
    let world = World::shared().await;

    let answer = world.ranking().await.recommend(for_user(&world.user_ids[0], 5)).await.unwrap().into_inner();

    assert_eq!(answer.items.len(), 5);
    assert!(answer.items.iter().map(|item| item.rank).eq(1..=5));
    assert!(answer.items.is_sorted_by(|a, b| a.score >= b.score));
    assert!(answer.items.iter().all(|item| !item.name.is_empty() && (0.0..=1.0).contains(&item.score)));
    let versions = answer.versions.unwrap();
    assert!(!versions.model_version.is_empty());
    assert_eq!(versions.index_generation, versions.user_generation);
    assert!(!answer.decision_id.is_empty());
}

#[tokio::test]
async fn never_offers_what_the_customer_holds_and_offers_everything_else_that_is_eligible() {
    let world = World::shared().await;
    let users = &world.user_ids[..50];
    let held = held(world, users).await;
    assert!(held.values().any(|products| !products.is_empty()));

    let mut ranking = world.ranking().await;
    for user_id in users {
        let answer = ranking.recommend(for_user(user_id, 500)).await.unwrap().into_inner();

        let offered: HashSet<String> = answer.items.iter().map(|item| item.product_id.clone()).collect();
        let request = ExplainEligibilityRequest { user_id: user_id.clone(), ..Default::default() };
        let explained = ranking.explain_eligibility(request).await.unwrap().into_inner().products;
        let is_held = |product: &ProductEligibility| {
            product.against.iter().any(|finding| finding.rule == "ALREADY_HELD")
        };
        let against_holding: HashSet<String> = explained
            .iter()
            .filter(|product| is_held(product))
            .map(|product| product.product_id.clone())
            .collect();
        let eligible = explained.iter().filter(|product| product.verdict() == EligibilityVerdict::Eligible);

        assert_eq!(explained.len(), PRODUCTS);
        assert_eq!(against_holding, held[user_id]);
        assert!(offered.is_disjoint(&held[user_id]));
        assert_eq!(offered, eligible.map(|product| product.product_id.clone()).collect());
        assert_eq!(answer.eligible_count as usize, offered.len());
    }
}

#[tokio::test]
async fn a_scenario_offers_its_product_classes_only() {
    let world = World::shared().await;
    let mut ranking = world.ranking().await;

    // Somebody of whom enough is known for every class: a tenth of each attribute is missing.
    let mut user_id = String::new();
    for candidate in &world.user_ids {
        let answer = ranking.recommend(for_user(candidate, 500)).await.unwrap().into_inner();
        let classes: HashSet<ProductClass> = answer.items.iter().map(Recommendation::product_class).collect();
        if classes.len() == 4 {
            user_id.clone_from(candidate);
            break;
        }
    }

    let mut offered = 0;
    for (scenario, classes) in [
        (Scenario::Credit, &[ProductClass::CreditCard, ProductClass::Loan][..]),
        (Scenario::Wealth, &[ProductClass::Wealth]),
        (Scenario::Insurance, &[ProductClass::Insurance]),
    ] {
        let request = RecommendRequest { scenario: scenario.into(), ..for_user(&user_id, 500) };
        let answer = ranking.recommend(request).await.unwrap().into_inner();

        assert!(!answer.items.is_empty(), "{scenario:?}");
        assert!(answer.items.iter().all(|item| classes.contains(&item.product_class())), "{scenario:?}");
        offered += answer.items.len();
    }

    let all = ranking.recommend(for_user(&user_id, 500)).await.unwrap().into_inner();
    assert_eq!(all.items.len(), offered);
}

#[tokio::test]
async fn an_excluded_product_gives_its_place_to_the_next() {
    let world = World::shared().await;
    let mut ranking = world.ranking().await;
    let before = ranking.recommend(for_user(&world.user_ids[2], 4)).await.unwrap().into_inner();

    let exclude_product_ids = vec![before.items[0].product_id.clone()];
    let request = RecommendRequest { exclude_product_ids, ..for_user(&world.user_ids[2], 3) };
    let after = ranking.recommend(request).await.unwrap().into_inner();

    let ids = |items: &[finrank_contracts::ranking::v1::Recommendation]| -> Vec<String> {
        items.iter().map(|item| item.product_id.clone()).collect()
    };
    assert_eq!(ids(&after.items), ids(&before.items[1..]));
}

#[tokio::test]
async fn the_stages_alone_agree_with_the_whole() {
    let world = World::shared().await;
    let mut ranking = world.ranking().await;
    let user_id = &world.user_ids[3];
    let whole = ranking.recommend(for_user(user_id, 10)).await.unwrap().into_inner();

    let product_ids: Vec<String> = whole.items.iter().map(|item| item.product_id.clone()).collect();
    let score = ScoreRequest { user_id: user_id.clone(), product_ids };
    let scores = ranking.score(score).await.unwrap().into_inner().scores;
    let retrieve = RetrieveRequest { query: Some(Query::UserId(user_id.clone())), k: 500, scenario: 0 };
    let candidates = ranking.retrieve(retrieve).await.unwrap().into_inner().candidates;

    let retrieval: HashMap<&str, f64> = candidates
        .iter()
        .map(|candidate| (candidate.product_id.as_str(), candidate.retrieval_score))
        .collect();
    for (item, score) in whole.items.iter().zip(&scores) {
        assert_eq!(item.product_id, score.product_id);
        assert!((item.score - score.score).abs() < 1e-6);
        assert!((item.retrieval_score - retrieval[item.product_id.as_str()]).abs() < 1e-4);
        assert!((item.retrieval_score - score.retrieval_score).abs() < 1e-4);
    }
}

#[tokio::test]
async fn retrieves_what_a_brute_force_over_the_stored_embeddings_finds() {
    let world = World::shared().await;
    let mut store = world.feature_store().await;
    let all = RetrieveRequest { query: Some(Query::UserId(world.user_ids[0].clone())), k: 500, scenario: 0 };
    let mut ranking = world.ranking().await;
    let ids: Vec<String> = ranking
        .retrieve(all)
        .await
        .unwrap()
        .into_inner()
        .candidates
        .into_iter()
        .map(|c| c.product_id)
        .collect();
    let ask = |entity: EntityKind, ids: Vec<String>| BatchGetEmbeddingsRequest {
        entity: entity.into(),
        ids,
        model_version: String::new(),
    };
    let user =
        store.batch_get_embeddings(ask(EntityKind::User, vec![world.user_ids[4].clone()])).await.unwrap();
    let user = user.into_inner().results.remove(0).embedding.unwrap();
    let products =
        store.batch_get_embeddings(ask(EntityKind::Product, ids)).await.unwrap().into_inner().results;
    let mut expected: Vec<(String, f64)> = products
        .into_iter()
        .map(|product| {
            let values = product.embedding.unwrap().values;
            let dot = user.values.iter().zip(&values).map(|(&u, &p)| f64::from(u) * f64::from(p)).sum();
            (product.id, dot)
        })
        .collect();
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));

    let vector = QueryVector { values: user.values.clone(), embedding_space: user.embedding_space.clone() };
    let request = RetrieveRequest { query: Some(Query::Vector(vector)), k: 10, scenario: 0 };
    let found = ranking.retrieve(request).await.unwrap().into_inner().candidates;

    assert_eq!(found.len(), 10);
    for (candidate, (_, dot)) in found.iter().zip(&expected) {
        assert!((candidate.retrieval_score - dot).abs() < 1e-3);
    }
}

#[tokio::test]
async fn similar_products_are_like_and_do_not_name_the_product_itself() {
    let world = World::shared().await;
    let mut ranking = world.ranking().await;
    let product_id = ranking
        .recommend(for_user(&world.user_ids[0], 1))
        .await
        .unwrap()
        .into_inner()
        .items
        .remove(0)
        .product_id;

    let request = SimilarProductsRequest { product_id: product_id.clone(), k: 500 };
    let products = ranking.similar_products(request).await.unwrap().into_inner().products;

    assert_eq!(products.len(), PRODUCTS - 1);
    assert!(products.iter().all(|product| product.product_id != product_id));
    assert!(products.is_sorted_by(|a, b| a.similarity >= b.similarity));
    assert!(products.iter().all(|product| (-1.0001..=1.0001).contains(&product.similarity)));
}

#[tokio::test]
async fn the_debug_view_tells_what_is_asked_for_and_every_stage_of_it() {
    let world = World::shared().await;
    let asked = |paths: &[&str]| RecommendRequest {
        debug: Some(FieldMask { paths: paths.iter().map(ToString::to_string).collect() }),
        ..for_user(&world.user_ids[0], 3)
    };
    let mut ranking = world.ranking().await;

    let none = ranking.recommend(asked(&[])).await.unwrap().into_inner();
    let plan = ranking.recommend(asked(&["retrieval_plan"])).await.unwrap().into_inner();
    let all = ranking.recommend(asked(&["*"])).await.unwrap().into_inner();

    assert_eq!(none.debug, None);
    let view = plan.debug.unwrap();
    assert!(view.stages.is_empty() && view.retrieval_plan.is_some(), "{view:?}");
    let view = all.debug.unwrap();
    let stages: Vec<_> = view.stages.iter().map(StageReport::stage).collect();
    let expected = [
        PipelineStage::Eligibility,
        PipelineStage::Retrieval,
        PipelineStage::Scoring,
        PipelineStage::Selection,
        PipelineStage::Recheck,
    ];
    assert_eq!(stages, expected);
    assert!(view.stages.windows(2).all(|pair| pair[0].left_count == pair[1].entered_count), "{view:?}");
    assert_eq!(view.stages[0].left_count, all.eligible_count);
    assert_eq!(view.stages[4].left_count as usize, all.items.len());
    assert_eq!(view.retrieval_plan.unwrap().eligible_count, all.eligible_count);
}
