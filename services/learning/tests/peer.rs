//! The split and the baselines beside a program in Python that computes the same on Caravan: numpy hides one holding a
//! household, and popularity, item-kNN (cosine) and EASE (ridge 50) rank it.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use chrono::DateTime;
use finrank_learning::{
    Questions, SplitMethod,
    baselines::{Ease, ItemKnn, Popularity},
    dataset::{Acquisitions, Dataset},
    metrics::{Answers, RankedAnswers},
    split::Split,
};
use finrank_model::{
    Attributes, Product, ProductClass, ProductDraft, ProductId, ProductStatus, UserId, UserRecord,
    features::FeatureRow,
};

/// What the Python program printed.
struct Peer {
    seed: u64,
    /// The sum of (question + 1) · (hidden column) over all questions: a checksum of what was hidden.
    checksum: u64,
    popularity: Figures,
    item_knn: Figures,
    ease: Figures,
}

/// MRR, hit@1 and NDCG@5.
type Figures = [f64; 3];

const PEERS: [Peer; 2] = [
    Peer {
        seed: 0,
        checksum: 32_324_346,
        popularity: [0.729_201, 0.543_908, 0.772_261],
        item_knn: [0.812_003, 0.710_517, 0.835_283],
        ease: [0.826_689, 0.730_649, 0.850_016],
    },
    Peer {
        seed: 1,
        checksum: 32_080_465,
        popularity: [0.725_779, 0.539_396, 0.768_996],
        item_knn: [0.755_673, 0.598_403, 0.792_728],
        ease: [0.774_910, 0.626_866, 0.811_975],
    },
];

#[test]
fn hides_the_same_holdings_and_ranks_them_as_the_program_in_python_does() {
    let Some(path) = std::env::var_os("FINRANK_CARAVAN_CSV") else {
        eprintln!("SKIPPED: FINRANK_CARAVAN_CSV names no file; scripts/test sets it");
        return;
    };
    let dataset = caravan(path.as_ref());

    for peer in &PEERS {
        let split = Split::new(&dataset, SplitMethod::LeaveOneOut, peer.seed).unwrap();
        let questions = Questions::of(&dataset, &split, peer.seed);
        let (seen, products) = (&split.seen, dataset.products.len());
        let popularity = Popularity::fit(seen, products);
        let item_knn = ItemKnn::fit(seen, products);
        let ease = Ease::fit(seen, products).unwrap();

        let checksum: u64 =
            (1..).zip(split.questions()).map(|(place, (_, hidden))| place * u64::from(hidden)).sum();

        assert_eq!(questions.len(), 2_881);
        assert_eq!(checksum, peer.checksum, "seed {}", peer.seed);
        agree("popularity", &questions.ask(|_| popularity.scores().to_vec()), products, peer.popularity);
        agree("item-kNN", &questions.ask(|held| item_knn.scores(held)), products, peer.item_knn);
        agree("EASE", &questions.ask(|held| ease.scores(held)), products, peer.ease);
    }
}

fn agree(model: &str, answers: &Answers, products: usize, expected: Figures) {
    let quality = RankedAnswers::new(answers, products, |_, _| 0.0).quality();
    let found = [quality.mrr, quality.at(1).unwrap().hit, quality.at(5).unwrap().ndcg];
    for (found, expected) in found.into_iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{model}: {found} {expected}");
    }
}

/// Columns 65 to 86 are products, named so that the order of their ids is that of the columns.
fn caravan(path: &std::path::Path) -> Dataset {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let is_numbered = reader.headers().unwrap()[0].to_lowercase().starts_with("unnamed")
        || reader.headers().unwrap()[0].is_empty();
    let first = 64 + usize::from(is_numbered);
    let id = |column: usize| ProductId::parse(format!("p{column:02}")).unwrap();
    let users = reader.records().enumerate().map(|(row, record)| {
        let record = record.unwrap();
        let is_held = |&column: &usize| !matches!(&record[first + column], "0" | "No");
        UserRecord {
            user_id: UserId::parse(format!("u{row:05}")).unwrap(),
            attributes: Attributes::default(),
            held: (0..22).filter(is_held).map(id).collect(),
            features: FeatureRow::default(),
        }
    });
    Dataset::clean(users.collect(), (0..22).map(id).map(product).collect(), &Acquisitions::new()).unwrap()
}

fn product(product_id: ProductId) -> Product {
    ProductDraft {
        name: product_id.to_string(),
        product_id,
        product_class: ProductClass::Insurance,
        description: String::new(),
        issuer: String::new(),
        risk_grade: None,
        status: ProductStatus::Active,
        attributes: Attributes::default(),
        event_time: DateTime::UNIX_EPOCH,
    }
    .check()
    .unwrap()
}
