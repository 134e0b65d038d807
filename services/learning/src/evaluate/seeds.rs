//! Seeds side by side: trainings share nothing but the data, so that each is the same on its own and beside others.

use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use crate::{
    EpochLoss, EpochProgress, EvaluateConfig, Result, SeedReport, SeedsProgress, TrainObserver,
    dataset::Dataset,
    evaluation::{Asked, RankedBy},
    metrics::{Answers, Curves},
    split::{ProductOrder, Split},
    trainer,
};

/// One seed, measured.
pub(super) struct MeasuredSeed {
    pub(super) report: SeedReport,
    /// Who was asked about, as positions in the data set.
    pub(super) customers: Vec<usize>,
    /// What each model answered about each of them.
    pub(super) answers: Vec<(RankedBy, Answers)>,
    /// The ranker's scores.
    pub(super) curves: Curves,
}

/// What a thread tells of the seed at a position.
enum Told {
    Epoch { position: usize, epoch: EpochProgress },
    Measured { position: usize, outcome: Box<Result<MeasuredSeed>> },
}

/// Measures every seed, in the order asked for; the observer hears from the calling thread.
pub(super) fn measure_seeds(
    dataset: &Dataset,
    config: &EvaluateConfig,
    order: &ProductOrder,
    observer: &mut dyn TrainObserver,
) -> Result<Vec<MeasuredSeed>> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..config.at_once.get().min(config.seeds.len()) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let position = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&seed) = config.seeds.get(position) else {
                        return;
                    };
                    let mut relay = Relay { position, sender: &sender, losses: Vec::new() };
                    let outcome = Box::new(measure_seed(dataset, config, order, seed, &mut relay));
                    // Nobody listens any more when another seed has failed.
                    if sender.send(Told::Measured { position, outcome }).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        collect(receiver, config.seeds.len(), observer)
    })
}

/// Hears the threads out, or ends with the first failure.
fn collect(
    receiver: Receiver<Told>,
    seeds: usize,
    observer: &mut dyn TrainObserver,
) -> Result<Vec<MeasuredSeed>> {
    let mut measured: BTreeMap<usize, MeasuredSeed> = BTreeMap::new();
    let mut running: BTreeMap<usize, usize> = BTreeMap::new();
    let mut longest = 0;
    for told in receiver {
        match told {
            Told::Epoch { position, epoch } => {
                running.insert(position, epoch.epoch);
                longest = epoch.max_epochs;
            }
            Told::Measured { position, outcome } => {
                running.remove(&position);
                measured.insert(position, (*outcome)?);
            }
        }
        observer.seeds(&SeedsProgress {
            seeds,
            finished: measured.len(),
            running_epochs: running.values().sum(),
            max_epochs: longest,
        });
    }
    Ok(measured.into_values().collect())
}

fn measure_seed(
    dataset: &Dataset,
    config: &EvaluateConfig,
    order: &ProductOrder,
    seed: u64,
    relay: &mut Relay<'_>,
) -> Result<MeasuredSeed> {
    let split = Split::in_order(dataset, config.split, order, seed)?;
    let trained = trainer::fit(dataset, &split, &config.transform, &config.learning, seed, relay)?;
    let asked = Asked::new(dataset, &split, &trained, seed)?;
    let report = SeedReport {
        seed,
        epochs: trained.epochs,
        best_epoch: trained.best_epoch,
        learning_seconds: trained.seconds,
        losses: std::mem::take(&mut relay.losses),
        evaluation: asked.measure(seed),
    };
    Ok(MeasuredSeed {
        report,
        customers: asked.questions.customers().collect(),
        curves: Curves::of(&asked.pairs),
        answers: asked.answers,
    })
}

/// Listens to one training, keeps its losses, and tells the thread that waits.
struct Relay<'a> {
    position: usize,
    sender: &'a Sender<Told>,
    losses: Vec<EpochLoss>,
}

impl TrainObserver for Relay<'_> {
    fn epoch(&mut self, epoch: &EpochProgress) {
        self.losses.push(EpochLoss {
            epoch: epoch.epoch,
            training: epoch.loss,
            validation: epoch.validation_loss,
        });
        // Whether anyone still listens is seen when the seed is measured.
        let _ = self.sender.send(Told::Epoch { position: self.position, epoch: *epoch });
    }
}
