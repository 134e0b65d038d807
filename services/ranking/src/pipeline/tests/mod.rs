mod customers;
mod eligible;
mod rules;
mod selection;

use std::sync::{Arc, Mutex};

use finrank_model::{MlpScorer, ProductClass, ProductId, ProductStatus};
use proptest::prelude::*;

use self::customers::{ask, declared};
use super::*;
use crate::{
    fixtures::{DIMENSION, Sample, bundle, catalogue, generation, product_id, sample, spaced, vector},
    index::{Method, Row},
};

/// Keeps decisions where a test can look at them.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<Decision>>>);

impl Recorder for Kept {
    fn record(&self, decision: &Decision) {
        self.0.lock().unwrap().push(decision.clone());
    }
}

/// The oracle of both retrieval and scoring: every product by the plain formulas.
#[derive(Debug)]
struct BruteForce(MlpScorer);

impl Retriever for BruteForce {
    fn retrieve(
        &self,
        catalogue: &Catalogue,
        query: &SpacedEmbedding,
        eligible: &Eligible,
        count: usize,
    ) -> Result<Retrieved, IndexError> {
        let inner_product = |row| {
            let product = catalogue.index().embedding(row).embedding;
            query.embedding.as_slice().iter().zip(product.as_slice()).map(|(u, p)| u * p).sum()
        };
        let rows = (0..catalogue.len()).map(Row).filter(|&row| eligible.rows().contains(row));
        let mut candidates: Vec<_> =
            rows.map(|row| RetrievedCandidate { row, retrieval_score: inner_product(row) }).collect();
        candidates.sort_by(|a, b| b.retrieval_score.total_cmp(&a.retrieval_score).then(a.row.cmp(&b.row)));
        candidates.truncate(count);
        let returned = candidates.len();
        let plan =
            Plan { method: Method::ExactScan, eligible: eligible.count(), expected_recall: 1.0, returned };
        Ok(Retrieved { candidates, plan })
    }
}

impl Scorer for BruteForce {
    fn score(
        &self,
        catalogue: &Catalogue,
        user: &SpacedEmbedding,
        candidates: Vec<RetrievedCandidate>,
    ) -> Result<Vec<ScoredCandidate>, IndexError> {
        let score = |row| self.0.score(&user.embedding, &catalogue.index().embedding(row).embedding);
        Ok(candidates.into_iter().map(|candidate| candidate.scored(score(candidate.row))).collect())
    }
}

fn scenario() -> impl Strategy<Value = Scenario> {
    prop::sample::select(&[Scenario::All, Scenario::Credit, Scenario::Wealth, Scenario::Insurance][..])
}

fn product_ids(below: usize) -> impl Strategy<Value = Vec<ProductId>> {
    prop::collection::vec((0..below).prop_map(product_id), 0..30)
}

fn filters() -> impl Strategy<Value = Filters> {
    let classes = prop::sample::subsequence(&ProductClass::ALL[..], 0..=2);
    let issuers = prop::collection::vec((0..4).prop_map(|issuer| format!("Issuer {issuer}")), 0..2);
    let product_ids = prop_oneof![2 => Just(vec![]), 1 => product_ids(150)];
    (classes, issuers, product_ids).prop_map(|(classes, issuers, product_ids)| Filters {
        classes,
        issuers,
        product_ids,
    })
}

proptest! {
    #[test]
    fn agrees_with_brute_force_and_the_plain_formula(
        samples in prop::collection::vec(sample(), 1..120),
        user in vector(),
        scenario in scenario(),
    ) {
        let generation = generation(1);
        let catalogue = declared(&samples);
        let scorer = || BruteForce(bundle(&generation).scorer);
        let oracle =
            Pipeline { retriever: Box::new(scorer()), scorer: Box::new(scorer()), ..Pipeline::new(500) };
        let ask = ask(&catalogue, user, Terms { scenario, ..Terms::default() }, 50);

        let decision = Pipeline::new(500).recommend(&catalogue, &ask).unwrap();
        let expected = oracle.recommend(&catalogue, &ask).unwrap();

        prop_assert_eq!(decision.items.len(), expected.items.len());
        for (item, expected) in decision.items.iter().zip(&expected.items) {
            // Products of nearly one score may change places; their scores may not.
            prop_assert!((item.candidate().score.get() - expected.candidate().score.get()).abs() < 1e-5);
        }
    }

    #[test]
    fn items_stand_in_descending_order_of_score_and_ties_in_order_of_product_id(
        samples in prop::collection::vec(sample(), 1..120),
        user in vector(),
    ) {
        let catalogue = declared(&samples);

        let ask = ask(&catalogue, user, Terms::default(), 500);
        let items = Pipeline::new(500).recommend(&catalogue, &ask).unwrap().items;

        let items: Vec<ScoredCandidate> = items.into_iter().map(|item| item.candidate()).collect();
        let id = |item: &ScoredCandidate| catalogue.product(item.row).product_id.clone();
        let comes_before =
            |a: &ScoredCandidate, b: &ScoredCandidate| a.score > b.score || (a.score == b.score && id(a) < id(b));
        prop_assert!(items.is_sorted_by(comes_before));
    }
}

#[test]
fn every_stage_is_reported_and_passes_on_what_the_next_one_looks_at() {
    let sample = |class| Sample { class, status: ProductStatus::Active, vector: [1.0; DIMENSION] };
    let classes = [ProductClass::CreditCard, ProductClass::CreditCard, ProductClass::CreditCard];
    let mut samples: Vec<Sample> = classes.map(sample).into();
    samples.push(Sample { status: ProductStatus::Withdrawn, ..samples[0].clone() });
    let catalogue = declared(&samples);
    let mut asked = ask(&catalogue, [1.0; DIMENSION], Terms::default(), 1);
    let pipeline = Pipeline::new(2);
    let flow = |decision: &Decision| {
        let flow = decision.stages.iter().map(|report| (report.stage, report.entered, report.left));
        flow.collect::<Vec<_>>()
    };

    let profiled = pipeline.recommend(&catalogue, &asked).unwrap();
    asked.basis = Basis::Popularity(None);
    let unprofiled = pipeline.recommend(&catalogue, &asked).unwrap();

    let expected = [
        (Stage::Eligibility, 4, 3),
        (Stage::Retrieval, 3, 2),
        (Stage::Scoring, 2, 2),
        (Stage::Selection, 2, 1),
        (Stage::Recheck, 1, 1),
    ];
    assert_eq!(flow(&profiled), expected);
    let plan = profiled.plan.unwrap();
    assert_eq!((plan.method, plan.eligible, plan.returned), (Method::FilteredFlat, 3, 2));
    let expected = [(Stage::Eligibility, 4, 3), (Stage::Selection, 3, 1), (Stage::Recheck, 1, 1)];
    assert_eq!(flow(&unprofiled), expected);
    assert_eq!(unprofiled.plan, None);
}

#[test]
fn records_the_decision_that_it_returns() {
    let samples =
        [Sample { class: ProductClass::CreditCard, status: ProductStatus::Active, vector: [1.0; DIMENSION] }];
    let kept = Kept::default();
    let pipeline = Pipeline { recorder: Box::new(kept.clone()), ..Pipeline::new(10) };

    let catalogue = declared(&samples);
    let decision =
        pipeline.recommend(&catalogue, &ask(&catalogue, [1.0; DIMENSION], Terms::default(), 1)).unwrap();

    let recorded = kept.0.lock().unwrap();
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].decision_id, decision.decision_id);
    assert_eq!(recorded[0].items, decision.items);
    assert_eq!(decision.items.len(), 1);
    assert_eq!(decision.decision_id.get_version_num(), 7);
}

#[test]
fn an_embedding_of_another_space_is_neither_searched_nor_scored() {
    let catalogue = catalogue(&generation(2), &[]);
    let asked = ask(&catalogue, [1.0; DIMENSION], Terms::default(), 1);

    let searched = Pipeline::new(10).recommend(&catalogue, &asked);
    let scored = catalogue.score(&spaced(&generation(1), [1.0; DIMENSION]), &[]);

    assert!(matches!(searched.unwrap_err(), IndexError::OtherSpace { .. }));
    assert!(matches!(scored.unwrap_err(), IndexError::OtherSpace { .. }));
}
