//! One training under way: its weights, its random numbers, and what it imagines of hidden holdings.

use candle_core::{Device, Tensor, Var};
use rand::{Rng, RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    Plan, Weights,
    checkpoint::State,
    contrast::{Contrast, Sampler, draw_columns},
    examples::{Example, Holdings},
    features::Features,
    lessons::Lessons,
    loss,
    network::Network,
    stopping::Best,
};
use crate::{LearningConfig, LearningError, Result, dataset::ProductIndex, schedule::Schedule};

/// Examples whose gradient is computed at once: memory that is allocated and freed at every operation stays
/// small. A step adds up as many as its batch has.
const EXAMPLES_AT_ONCE: usize = 128;

pub(super) struct Session<'a> {
    features: &'a Features,
    config: &'a LearningConfig,
    holdings: Holdings<'a>,
    sampler: Sampler,
    /// Over the weights that are being learned.
    network: Network,
    weights: Weights,
    rng: ChaCha8Rng,
    /// The validation part draws the same in every epoch, so that its loss moves with the weights alone.
    validation_seed: u64,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        features: &'a Features,
        lessons: &'a Lessons<'a>,
        config: &'a LearningConfig,
        plan: &Plan,
        mut rng: ChaCha8Rng,
    ) -> Result<Self> {
        let mut vars = Vec::new();
        let network = Network::draw(features, config, &mut rng)?.map(|weight| {
            let var = Var::from_tensor(weight)?;
            let live = var.as_tensor().clone();
            vars.push(var);
            Ok(live)
        })?;
        let schedule = Schedule {
            learning_rate: config.learning_rate,
            weight_decay: config.weight_decay,
            average_decay: config.average_decay,
            steps: plan.steps,
        };
        Ok(Self {
            features,
            config,
            holdings: lessons.holdings(),
            sampler: Sampler::new(lessons.answers(), features.products(), config),
            network,
            weights: Weights::new(vars, schedule)?,
            validation_seed: rng.random(),
            rng,
        })
    }

    /// Everything that the next epoch depends on, after `epoch` of them.
    pub(super) fn state(&self, epoch: usize, best: Option<&Best<Vec<Tensor>>>) -> State {
        State {
            epoch,
            steps: self.weights.steps(),
            rng: self.rng.clone(),
            validation_seed: self.validation_seed,
            imagined: self.holdings.imagined().to_vec(),
            weights: self.weights.state().map(|parts| parts.map(Clone::clone)).collect(),
            best: best.cloned(),
        }
    }

    /// Goes on from where another session of the same training was; the best weights are not its matter.
    pub(super) fn restore(&mut self, state: State) -> Result<()> {
        self.rng = state.rng;
        self.validation_seed = state.validation_seed;
        for (row, product) in state.imagined.into_iter().enumerate() {
            if let Some(product) = product {
                self.holdings.imagine(row, product);
            }
        }
        self.weights.restore(state.steps, state.weights)
    }

    /// One pass over `users`; the mean loss.
    pub(super) fn learn(&mut self, users: &[usize], batch_size: usize) -> Result<f64> {
        let mut examples = self.holdings.examples(users, &mut self.rng);
        examples.shuffle(&mut self.rng);
        let mut total = 0.0;
        for batch in examples.chunks(batch_size) {
            for part in batch.chunks(EXAMPLES_AT_ONCE) {
                let loss = self.training_loss(part)?;
                let share = part.len() as f64 / batch.len() as f64;
                self.weights.accumulate(&(&loss * share)?)?;
                total += f64::from(loss.to_scalar::<f32>()?) * part.len() as f64;
            }
            self.weights.step()?;
        }
        Ok(total / examples.len() as f64)
    }

    fn training_loss(&mut self, examples: &[Example]) -> Result<Tensor> {
        let contrast = self.sampler.draw(examples, &mut self.rng);
        let users = self.encode_users_with_dropout(examples)?;
        let keep_identity = 1.0 - f64::from(self.config.identity_dropout);
        let input =
            self.features.product_input(&contrast.products, || self.rng.random_bool(keep_identity))?;
        let products = self.network.encode_products(&input)?;
        let targets = select(&products, &contrast.target_positions(examples))?;
        let scored = select(&products, &contrast.scored)?;

        let matched = loss::softmax(
            &self.network.match_rows(&users, &targets)?,
            &self.network.match_all(&users, &products)?,
            &contrast.corrections(examples)?,
        )?;
        let right = self.network.score_rows(&users, &targets)?;
        let wrong = self.network.score_all(&users, &scored)?;
        let corrections = contrast.scored_corrections(examples)?;
        let ranked = loss::softmax(&right, &wrong, &corrections)?;
        let calibrated = loss::cross_entropy(&right, &wrong, &corrections)?;
        Ok((ranked + ((matched * self.config.tower_loss)? + (calibrated * self.config.cross_entropy)?)?)?)
    }

    fn encode_users_with_dropout(&mut self, examples: &[Example]) -> Result<Tensor> {
        let keep_attributes = 1.0 - f64::from(self.config.attribute_dropout);
        let histories = examples.iter().map(|example| (example.user, example.history.as_slice()));
        let input = self.features.user_input(histories, || self.rng.random_bool(keep_attributes))?;
        let (dropout, rng) = (self.config.dropout, &mut self.rng);
        self.network.encode_users(&input, |hidden| {
            let mask: Vec<f32> = (0..hidden.elem_count())
                .map(|_| if rng.random::<f32>() < dropout { 0.0 } else { 1.0 / (1.0 - dropout) })
                .collect();
            Ok((&hidden * Tensor::from_vec(mask, hidden.shape(), &Device::Cpu)?)?)
        })
    }

    /// Imagines anew what is hidden of each of `users`, as likely as the averaged model has it.
    pub(super) fn imagine_hidden(&mut self, users: &[usize]) -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.rng.random());
        self.imagine(users, &mut rng)
    }

    /// The same with the draws of every other epoch.
    pub(super) fn imagine_hidden_for_validation(&mut self, users: &[usize]) -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.validation_seed);
        self.imagine(users, &mut rng)
    }

    fn imagine(&mut self, users: &[usize], rng: &mut impl Rng) -> Result<()> {
        let network = self.averaged()?;
        for batch in self.holdings.short(users).chunks(EXAMPLES_AT_ONCE) {
            let asked: Vec<Example> = batch.iter().filter_map(|&user| self.question(user)).collect();
            let contrast = self.sampler.draw(&asked, rng);
            let (encoded, products) = self.encode(&network, &asked, &contrast)?;
            let logits = if self.sampler.scores_everything() {
                network.score_all(&encoded, &products)?
            } else {
                network.match_all(&encoded, &products)?
            };
            let logits = (logits + contrast.corrections(&asked)?)?;
            for (example, column) in asked.iter().zip(draw_columns(&logits, rng)?) {
                let product = contrast.products[column];
                if !example.holds(product) {
                    self.holdings.imagine(example.user, product);
                }
            }
        }
        Ok(())
    }

    /// A customer with the whole of what is seen as history; one of it stands in as target, so that all of
    /// it is excluded.
    fn question(&self, user: usize) -> Option<Example> {
        let seen = self.holdings.seen(user);
        Some(Example { user, history: seen.to_vec(), target: *seen.first()? })
    }

    /// The mean loss of the averaged model's ranking over one question for each of `users`.
    pub(super) fn validation_loss(&self, users: &[usize]) -> Result<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.validation_seed);
        let network = self.averaged()?;
        let checks = self.holdings.checks(users, &mut rng);
        if checks.is_empty() {
            return Err(LearningError::TooLittle("no holding is left to validate on".to_owned()));
        }
        let mut total = 0.0;
        for batch in checks.chunks(EXAMPLES_AT_ONCE) {
            let contrast = self.sampler.draw(batch, &mut rng);
            let (encoded, products) = self.encode(&network, batch, &contrast)?;
            let targets = select(&products, &contrast.target_positions(batch))?;
            let scored = select(&products, &contrast.scored)?;
            let loss = loss::softmax(
                &network.score_rows(&encoded, &targets)?,
                &network.score_all(&encoded, &scored)?,
                &contrast.scored_corrections(batch)?,
            )?;
            total += f64::from(loss.to_scalar::<f32>()?) * batch.len() as f64;
        }
        Ok(total / checks.len() as f64)
    }

    /// One question for each of `users` of whom something is seen, the same that the validation loss asks.
    pub(super) fn questions(&self, users: &[usize]) -> Vec<Example> {
        self.holdings.checks(users, &mut ChaCha8Rng::seed_from_u64(self.validation_seed))
    }

    fn encode(
        &self,
        network: &Network,
        examples: &[Example],
        contrast: &Contrast,
    ) -> Result<(Tensor, Tensor)> {
        let histories = examples.iter().map(|example| (example.user, example.history.as_slice()));
        let users = self.features.user_input(histories, || true)?;
        let products = self.features.product_input(&contrast.products, || true)?;
        Ok((network.encode_users(&users, Ok)?, network.encode_products(&products)?))
    }

    /// The network over the averaged weights.
    pub(super) fn averaged(&self) -> Result<Network> {
        self.network_over(self.weights.averages())
    }

    /// The averaged weights, in their order.
    pub(super) fn averages(&self) -> Vec<Tensor> {
        self.weights.averages().collect()
    }

    /// The network over other weights, in the order of [`Session::averages`].
    pub(super) fn network_over(&self, weights: impl IntoIterator<Item = Tensor>) -> Result<Network> {
        let mut weights = weights.into_iter();
        self.network.map(|weight| Ok(weights.next().unwrap_or_else(|| weight.clone())))
    }
}

fn select(rows: &Tensor, positions: &[ProductIndex]) -> Result<Tensor> {
    let positions = Tensor::from_slice(positions, positions.len(), &Device::Cpu)?;
    Ok(rows.index_select(&positions, 0)?)
}
