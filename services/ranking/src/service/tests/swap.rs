//! Catalogues replaced under requests.

use std::{collections::BTreeSet, sync::Arc};

use finrank_contracts::ranking::v1::ranking_service_client::RankingServiceClient;
use finrank_model::{EmbeddingSpace, ProductClass};
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::{active, by_vector, served};
use crate::{
    Generation,
    catalogue::{Catalogue, CurrentCatalogue},
    fixtures::{DIMENSION, catalogue, generation},
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
