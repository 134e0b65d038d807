//! The products that the right answers of a step are contrasted with: the whole catalogue, or a sample.
//!
//! A sample is the right answers of all customers in the step (in-batch negatives) and others drawn evenly.
//! Dividing a product's share of the softmax by its probability of being in the sample, logQ correction
//! (Yi et al. 2019), leaves the expected gradient that of the whole catalogue.

use std::collections::BTreeSet;

use candle_core::{Device, Tensor};
use rand::{Rng, RngExt, seq::index};

use super::examples::Example;
use crate::{LearningConfig, Result, dataset::ProductIndex};

/// The logit of a product that is no wrong answer for the customer: its share of the softmax is 0.
const EXCLUDED: f32 = -1e9;

/// How products are sampled in one training.
pub(super) struct Sampler {
    products: usize,
    /// The probability that one right answer is this product.
    answer_rate: Vec<f64>,
    sampled: usize,
    scored: usize,
}

/// The products of one step.
pub(super) struct Contrast {
    /// In the order of the catalogue.
    pub(super) products: Vec<ProductIndex>,
    /// `ln` of each one's probability of being here.
    log_inclusion: Vec<f32>,
    /// Positions in `products` of those that the scorer contrasts.
    pub(super) scored: Vec<u32>,
    /// `ln` of the share of `products` that `scored` is.
    log_scored_share: f32,
}

impl Sampler {
    /// Learns how often each product is an answer.
    pub(super) fn new(
        answers: impl Iterator<Item = ProductIndex>,
        products: usize,
        config: &LearningConfig,
    ) -> Self {
        let mut answer_rate = vec![0.0; products];
        let mut all = 0.0_f64;
        for product in answers {
            answer_rate[product as usize] += 1.0;
            all += 1.0;
        }
        for rate in &mut answer_rate {
            *rate /= all.max(1.0);
        }
        Self { products, answer_rate, sampled: config.sampled_products, scored: config.scored_products }
    }

    /// Whether the scorer contrasts the whole catalogue at every step.
    pub(super) fn scores_everything(&self) -> bool {
        self.products <= self.sampled.min(self.scored)
    }

    /// The products of a step with these examples.
    pub(super) fn draw(&self, examples: &[Example], rng: &mut impl Rng) -> Contrast {
        let (products, log_inclusion) = if self.products <= self.sampled {
            ((0..self.products as u32).collect(), vec![0.0; self.products])
        } else {
            self.sample(examples, rng)
        };
        let scored: Vec<u32> = if products.len() <= self.scored {
            (0..products.len() as u32).collect()
        } else {
            let mut drawn: Vec<u32> = index::sample(rng, products.len(), self.scored)
                .into_iter()
                .map(|position| position as u32)
                .collect();
            drawn.sort_unstable();
            drawn
        };
        Contrast {
            log_scored_share: (scored.len() as f32 / products.len() as f32).ln(),
            products,
            log_inclusion,
            scored,
        }
    }

    fn sample(&self, examples: &[Example], rng: &mut impl Rng) -> (Vec<ProductIndex>, Vec<f32>) {
        let answers = examples.iter().map(|example| example.target);
        let others = index::sample(rng, self.products, self.sampled).into_iter();
        let products: BTreeSet<ProductIndex> = answers.chain(others.map(|product| product as u32)).collect();
        let missed_by_others = 1.0 - self.sampled as f64 / self.products as f64;
        let log_inclusion = products.iter().map(|&product| {
            let missed_by_answers = (1.0 - self.answer_rate[product as usize]).powf(examples.len() as f64);
            (1.0 - missed_by_answers * missed_by_others).ln() as f32
        });
        (products.iter().copied().collect(), log_inclusion.collect())
    }
}

impl Contrast {
    /// The position of each example's target, which every step's products hold.
    pub(super) fn target_positions(&self, examples: &[Example]) -> Vec<u32> {
        examples
            .iter()
            .map(|example| self.products.partition_point(|&product| product < example.target) as u32)
            .collect()
    }

    /// What to add to the towers' logits `[examples, products]`: minus logQ, or exclusion of what the
    /// customer holds (the target has its own column).
    pub(super) fn corrections(&self, examples: &[Example]) -> Result<Tensor> {
        let columns = self.products.iter().zip(&self.log_inclusion);
        let columns: Vec<(ProductIndex, f32)> = columns.map(|(&product, &log)| (product, log)).collect();
        corrections(examples, &columns)
    }

    /// The same for the scorer's logits `[examples, scored]`.
    pub(super) fn scored_corrections(&self, examples: &[Example]) -> Result<Tensor> {
        let columns = self.scored.iter().map(|&position| {
            let position = position as usize;
            (self.products[position], self.log_inclusion[position] + self.log_scored_share)
        });
        corrections(examples, &columns.collect::<Vec<_>>())
    }
}

fn corrections(examples: &[Example], columns: &[(ProductIndex, f32)]) -> Result<Tensor> {
    let mut values = Vec::with_capacity(examples.len() * columns.len());
    for example in examples {
        values.extend(columns.iter().map(
            |&(product, log_inclusion)| {
                if example.holds(product) { EXCLUDED } else { -log_inclusion }
            },
        ));
    }
    Ok(Tensor::from_vec(values, (examples.len(), columns.len()), &Device::Cpu)?)
}

/// Draws one column per row with probability in proportion to `exp(logit)` (Gumbel-max, Gumbel 1954).
pub(super) fn draw_columns(logits: &Tensor, rng: &mut impl Rng) -> Result<Vec<usize>> {
    let rows: Vec<Vec<f32>> = logits.to_vec2()?;
    let drawn = rows.iter().map(|row| {
        let noisy = row.iter().map(|logit| {
            let uniform = rng.random::<f32>().max(f32::MIN_POSITIVE);
            logit - (-uniform.ln()).ln()
        });
        let best = noisy.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        best.map_or(0, |(column, _)| column)
    });
    Ok(drawn.collect())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn example(history: &[ProductIndex], target: ProductIndex) -> Example {
        Example { user: 0, history: history.to_vec(), target }
    }

    fn config(sampled_products: usize, scored_products: usize) -> LearningConfig {
        LearningConfig { sampled_products, scored_products, ..Default::default() }
    }

    #[test]
    fn a_small_catalogue_is_contrasted_whole_without_correction() {
        let sampler = Sampler::new([0, 0, 1].into_iter(), 4, &config(8, 8));
        let examples = [example(&[1], 0)];

        let contrast = sampler.draw(&examples, &mut ChaCha8Rng::seed_from_u64(0));

        assert!(sampler.scores_everything());
        assert_eq!(contrast.products, [0, 1, 2, 3]);
        let corrections: Vec<Vec<f32>> = contrast.corrections(&examples).unwrap().to_vec2().unwrap();
        assert_eq!(corrections, [[EXCLUDED, EXCLUDED, 0.0, 0.0]]);
    }

    #[test]
    fn a_large_catalogue_is_sampled_and_holds_every_target() {
        let sampler = Sampler::new(0..100, 1_000, &config(50, 10));
        let examples = [example(&[], 7), example(&[], 999)];

        let contrast = sampler.draw(&examples, &mut ChaCha8Rng::seed_from_u64(0));

        assert!((50..=52).contains(&contrast.products.len()));
        assert_eq!(contrast.scored.len(), 10);
        for (example, position) in examples.iter().zip(contrast.target_positions(&examples)) {
            assert_eq!(contrast.products[position as usize], example.target);
        }
    }

    #[test]
    fn the_logq_correction_makes_a_sample_count_for_the_whole_catalogue() {
        let sampler = Sampler::new((0..300).map(|index| index % 20), 200, &config(40, 40));
        let mut rng = ChaCha8Rng::seed_from_u64(1);

        // Σ 1/Q over a sample is expected to be the number of products.
        let rounds = 2_000;
        let mut total = 0.0;
        for _ in 0..rounds {
            let answers: Vec<Example> = (0..8).map(|_| example(&[], rng.random_range(0..20))).collect();
            let contrast = sampler.draw(&answers, &mut rng);
            total += contrast.log_inclusion.iter().map(|log| f64::from(-log).exp()).sum::<f64>();
        }

        let mean = total / f64::from(rounds);
        assert!((mean - 200.0).abs() < 2.0, "{mean}");
    }

    #[test]
    fn columns_are_drawn_in_proportion_to_their_softmax() {
        let logits = Tensor::new(&[[1f32.ln(), 3f32.ln(), EXCLUDED]], &Device::Cpu).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(5);

        let mut counts = [0; 3];
        for _ in 0..4_000 {
            counts[draw_columns(&logits, &mut rng).unwrap()[0]] += 1;
        }

        assert_eq!(counts[2], 0);
        assert!((2_850..3_150).contains(&counts[1]), "{counts:?}");
    }
}
