//! Catalogues replaced under requests.

use std::{collections::BTreeSet, sync::Arc};

use finrank_contracts::ranking::v1::ranking_service_client::RankingServiceClient;
use finrank_model::{EmbeddingSpace, ProductClass};
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{active, by_vector, ids, served};
use crate::{
    Generation, Snapshot,
    catalogue::{Catalogue, CurrentCatalogue, Indexing},
    fixtures::{DIMENSION, Sample, bundle, catalogue, generation, product_id, products, spaced},
    index::{Depth, IndexConfig, IndexKind, IndexSettings, Method, RowSet},
};

/// Catalogue `n` has `n` products whose embeddings are all `n`, so that an answer made of two catalogues
/// contradicts itself. All are of one space, so that every query fits every catalogue.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_of_one_catalogue_while_others_take_its_place() {
    let current = Arc::new(CurrentCatalogue::default());
    current.publish(numbered(1));
    let ranking = served(Arc::clone(&current)).await;
    let enough = CancellationToken::new();
    // Also when a client fails: the runtime waits for the publisher's thread.
    let ends_with_test = enough.clone().drop_guard();
    let publisher = spawn_blocking({
        move || {
            (1..=20)
                .cycle()
                .take_while(|_| !enough.is_cancelled())
                .for_each(|n| current.publish(numbered(n)));
        }
    });

    let mut clients = JoinSet::new();
    for _ in 0..4 {
        clients.spawn(numbers_of_answers(ranking.clone()));
    }
    let seen: BTreeSet<i64> = clients.join_all().await.into_iter().flatten().collect();
    drop(ends_with_test);
    publisher.await.unwrap();

    assert!(seen.len() > 2, "only catalogues {seen:?} answered");
}

fn numbered(n: i64) -> Catalogue {
    let space = EmbeddingSpace::parse("shared").unwrap();
    let generation = Generation { embedding_space: space, ..generation(n) };
    catalogue(&generation, &vec![active(ProductClass::Wealth, [n as f32; DIMENSION]); n as usize])
}

/// Asks many times, checks that each answer is of one catalogue, and says of which ones.
async fn numbers_of_answers(mut ranking: RankingServiceClient<Channel>) -> BTreeSet<i64> {
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        let request = by_vector(&[1.0; DIMENSION], "shared", 500);
        let answer = ranking.retrieve(request).await.unwrap().into_inner();
        let n = answer.versions.unwrap().index_generation;
        assert_eq!(answer.candidates.len(), n as usize);
        let score = (DIMENSION as i64 * n) as f64;
        assert!(answer.candidates.iter().all(|candidate| candidate.retrieval_score == score));
        seen.insert(n);
    }
    seen
}

/// Enough products for an approximate index, which stays in service while catalogues change beside it.
const MANY: usize = 1_500;

/// Catalogue `n` has product 0 with an embedding of `n`s, by far the largest, and in every other catalogue product 1
/// after it; so that an answer made of two catalogues, or of an index that has not followed, contradicts itself.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_of_one_catalogue_while_products_change_beside_its_approximate_index() {
    let settings = approximate();
    let current = Arc::new(CurrentCatalogue::default());
    current.publish(changed(1, &settings, None));
    let ranking = served(Arc::clone(&current)).await;
    let enough = CancellationToken::new();
    let ends_with_test = enough.clone().drop_guard();
    let publisher = spawn_blocking({
        let current = Arc::clone(&current);
        move || {
            for n in (2..=10).cycle().take_while(|_| !enough.is_cancelled()) {
                let in_service = current.get();
                current.publish(changed(n, &settings, in_service.as_deref()));
            }
        }
    });

    let mut clients = JoinSet::new();
    for _ in 0..2 {
        clients.spawn(changes_seen(ranking.clone()));
    }
    let seen: BTreeSet<i64> = clients.join_all().await.into_iter().flatten().collect();
    drop(ends_with_test);
    publisher.await.unwrap();

    assert!(seen.len() > 2, "only catalogues {seen:?} answered");
    let last = current.get().unwrap();
    assert!((3..=4).contains(&last.index().changed()), "its index is not that of catalogue 1");
    let asked = spaced(last.generation(), [1.0; DIMENSION]);
    let plan = last.index().search(&asked, &RowSet::full(last.len()), 10).unwrap().plan;
    assert!(matches!(plan.method, Method::Approximate { .. }), "{plan:?}");
}

fn approximate() -> IndexSettings {
    let config = IndexConfig { kind: IndexKind::Ivf, recall_target: 0.5, ..IndexConfig::default() };
    IndexSettings { config, depth: Depth(10.try_into().unwrap()) }
}

fn changed(n: i64, settings: &IndexSettings, in_service: Option<&Catalogue>) -> Catalogue {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut samples: Vec<Sample> = (0..MANY)
        .map(|_| active(ProductClass::Wealth, std::array::from_fn(|_| random.random_range(-1.0..1.0))))
        .collect();
    samples[0].vector = [100.0 + n as f32; DIMENSION];
    samples[1].vector = [50.0; DIMENSION];
    let space = EmbeddingSpace::parse("shared").unwrap();
    let generation = Generation { embedding_space: space, ..generation(n) };
    let bundle = bundle(&generation);
    let mut products = products(&samples);
    if n % 2 == 0 {
        products.remove(1);
    }
    let snapshot = Snapshot { generation, bundle: bundle.digest(), products };
    Catalogue::build_by(snapshot, &bundle, Indexing { settings, in_service }).unwrap()
}

/// Asks many times, checks that each answer is of one catalogue, and says of which ones.
async fn changes_seen(mut ranking: RankingServiceClient<Channel>) -> BTreeSet<i64> {
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        let answer = ranking.retrieve(by_vector(&[1.0; DIMENSION], "shared", 10)).await.unwrap().into_inner();
        let n = answer.versions.as_ref().unwrap().index_generation;
        assert_eq!(answer.candidates.len(), 10);
        assert_eq!(answer.candidates[0].retrieval_score, (DIMENSION as i64 * (100 + n)) as f64);
        assert_eq!(ids(&answer)[1] == product_id(1).to_string(), n % 2 == 1);
        seen.insert(n);
    }
    seen
}
