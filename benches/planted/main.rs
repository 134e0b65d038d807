//! How much of what was planted in synthetic data retrieval finds.
//!
//!     cargo bench -p finrank-cli --bench planted
//!     cargo bench -p finrank-cli --bench planted -- --users 5000 --products 1000 --k 100
//!
//! Customers of `finrank import --synthetic` have a latent taste, products a latent character, and of some products drawn
//! at random a customer acquires those that suit best. One holding of each customer is hidden, a model is trained on the
//! rest, and its towers rank every product that the customer is not seen to hold. Beside it the truth itself ranks them,
//! by the affinities that the rows were drawn from, which no model knows: recall@k of the one over that of the other says
//! how much of what can be found is found. The last line is JSON.

use std::error::Error;

use clap::Parser;
use finrank_feature_store::import::{PlantedTruth, Synthetic, import_synthetic};
use finrank_learning::{
    LearningConfig, SplitMethod, TrainConfig, dataset::Dataset, read_dataset, split::Split, train,
};
use finrank_model::{Bundle, Embedding};
use finrank_store::scratch::ScratchDatabase;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Measures retrieval against the planted truth.
///
/// Example: cargo bench -p finrank-cli --bench planted -- --users 5000 --products 1000
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Arguments {
    /// Customers to generate.
    #[arg(long, default_value_t = 20_000)]
    users: u32,
    /// Products in the catalogue.
    #[arg(long, default_value_t = 1000)]
    products: u32,
    /// The seed of rows, split and training.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many products are retrieved.
    #[arg(long, default_value_t = 100)]
    k: usize,
    /// Steps of the optimiser; the trainer's default if absent.
    #[arg(long)]
    steps: Option<usize>,
    /// The share of customers whose attributes are dropped in a step; the trainer's default if absent. It is there for
    /// small data, and hides here what tells the taste best.
    #[arg(long)]
    attribute_dropout: Option<f32>,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let synthetic = Synthetic { users: arguments.users, products: arguments.products, seed: arguments.seed };
    let database = ScratchDatabase::create().await;
    let url = database.store.url().to_owned();
    tokio::task::spawn_blocking(move || import_synthetic(&url, synthetic, &mut ())).await??;

    let models_dir = tempfile::tempdir()?;
    let default = LearningConfig::default();
    let learning = LearningConfig {
        steps: arguments.steps.unwrap_or(default.steps),
        attribute_dropout: arguments.attribute_dropout.unwrap_or(default.attribute_dropout),
        ..default
    };
    let config = TrainConfig { seed: arguments.seed, learning, ..TrainConfig::new(models_dir.path()) };
    let report = train(&database.store, &config, ()).await?;
    let bundle = Bundle::read(&report.bundle_path)?;

    let leave_one_out = SplitMethod::LeaveOneOut;
    let dataset = read_dataset(&database.store, leave_one_out, &config.learning, None).await?;
    let split = Split::new(&dataset, leave_one_out, arguments.seed)?;
    let truth = PlantedTruth::of(synthetic);
    let found = recall(&dataset, &split, &bundle, &truth, arguments.k)?;
    let share = found.towers / found.truth;
    println!(
        "{} customers, {} products, {} hidden holdings, {} epochs in {:.1} s\n\
         recall@{}: towers {:.4}, planted truth {:.4}, share {share:.3}",
        arguments.users,
        arguments.products,
        found.questions,
        report.epochs,
        report.learning_seconds,
        arguments.k,
        found.towers,
        found.truth,
    );
    println!(
        r#"{{"users":{},"products":{},"k":{},"questions":{},"towers":{},"truth":{},"share":{share}}}"#,
        arguments.users, arguments.products, arguments.k, found.questions, found.towers, found.truth,
    );
    Ok(())
}

/// Of the hidden holdings, the shares that are among the first.
struct Found {
    questions: usize,
    towers: f64,
    truth: f64,
}

fn recall(
    dataset: &Dataset,
    split: &Split,
    bundle: &Bundle,
    truth: &PlantedTruth,
    k: usize,
) -> Result<Found> {
    let products = bundle.product.encode(&dataset.products)?;
    let users = bundle.user.encode(&split.seen_records(dataset))?;
    let questions: Vec<(usize, u32)> = split.questions().collect();
    let (mut by_towers, mut by_truth) = (0, 0);
    for &(user, hidden) in &questions {
        let seen = &split.seen[user];
        let candidates: Vec<usize> =
            (0..products.len()).filter(|&product| !seen.contains(&(product as u32))).collect();
        let is_found = |score: &dyn Fn(usize) -> f64| {
            let right = score(hidden as usize);
            candidates.iter().filter(|&&product| score(product) > right).count() < k
        };
        by_towers += usize::from(is_found(&|product| dot(&users[user], &products[product])));
        let (user_id, products) = (&dataset.users[user].user_id, &dataset.products);
        by_truth += usize::from(is_found(&|product| truth.affinity(user_id, &products[product].product_id)));
    }
    let share = |found: usize| found as f64 / questions.len() as f64;
    Ok(Found { questions: questions.len(), towers: share(by_towers), truth: share(by_truth) })
}

fn dot(one: &Embedding, other: &Embedding) -> f64 {
    one.as_slice().iter().zip(other.as_slice()).map(|(a, b)| f64::from(a * b)).sum()
}
