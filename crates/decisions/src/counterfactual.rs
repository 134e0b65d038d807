//! What an order that was not always shown would have brought: the greedy order of the same model, estimated from answers in
//! which chance gave places to others, by the probabilities that were kept of each place.
//!
//! An item of the greedy order that was seen weighs `w = 1 / propensity`, an item by chance 0. With reward `r` (1 if the customer
//! did the thing, else 0), over `n` items seen, inverse propensity scoring (Horvitz and Thompson, 1952) estimates the greedy order's
//! rate by `Σ w r / n`, which is right on average; its self-normalised form (Hájek, 1971; Swaminathan and Joachims, 2015) by
//! `Σ w r / Σ w`, which is a little biased, varies less, and stays within 0 to 1. Whether a place is seen must not depend on what stands there.

use crate::{
    outcome::OutcomeKind,
    rates::{Rate, Z, did},
};

/// How an item was shown, and what came of it.
#[derive(Clone, Debug)]
pub struct Shown<'o> {
    /// With which probability it stood in its place.
    pub propensity: f64,
    /// Whether chance gave it the place of another.
    pub by_chance: bool,
    /// All that the customer did with it.
    pub outcomes: &'o [OutcomeKind],
}

/// What was seen of answers in which places were open to chance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Explored {
    /// Answers of which anything is known.
    pub decisions: u64,
    /// Items seen.
    pub impressions: u64,
    /// Of these in places that were open to chance.
    pub open: u64,
    /// Of these by chance.
    pub by_chance: u64,
    weights: f64,
    squared_weights: f64,
    clicks: Sums,
    applications: Sums,
    purchases: Sums,
}

/// What the greedy order would have brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Greedy {
    /// Items with which it was done.
    pub done: u64,
    /// What the answers brought as they were shown.
    pub observed: Rate,
    /// `Σ w r / n`. Chance may carry it a little past 1.
    pub inverse_propensity: Rate,
    /// `Σ w r / Σ w`.
    pub self_normalised: Rate,
}

/// Sums over answers of what each brought (`a = Σ w r`), weighed (`b = Σ w`) and counted (`n`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    done: u64,
    a: f64,
    aa: f64,
    ab: f64,
    an: f64,
    b: f64,
    bb: f64,
    n: f64,
    nn: f64,
}

impl Explored {
    /// Counts one answer's seen items.
    pub fn count(&mut self, seen: &[Shown<'_>]) {
        self.decisions += 1;
        for item in seen {
            self.impressions += 1;
            self.open += u64::from(item.propensity < 1.0);
            self.by_chance += u64::from(item.by_chance);
            self.weights += item.weight();
            self.squared_weights += item.weight().powi(2);
        }
        self.clicks.count(seen, OutcomeKind::Click);
        self.applications.count(seen, OutcomeKind::Application);
        self.purchases.count(seen, OutcomeKind::Purchase);
    }

    /// Whether there is anything to estimate from.
    pub fn is_of_use(&self) -> bool {
        self.open > 0
    }

    /// As many items, each shown for sure, would say as much: `(Σ w)² / Σ w²` (Kish, 1965).
    pub fn effective_impressions(&self) -> f64 {
        if self.squared_weights > 0.0 { self.weights.powi(2) / self.squared_weights } else { 0.0 }
    }

    /// Of clicks, or more.
    pub fn clicks(&self) -> Greedy {
        self.greedy(&self.clicks)
    }

    /// Of applications, or more.
    pub fn applications(&self) -> Greedy {
        self.greedy(&self.applications)
    }

    /// Of purchases.
    pub fn purchases(&self) -> Greedy {
        self.greedy(&self.purchases)
    }

    fn greedy(&self, sums: &Sums) -> Greedy {
        let effective = self.effective_impressions();
        let ratio = |denominator, cross, squared| {
            Ratio { decisions: self.decisions as f64, effective, sums, denominator, cross, squared }.rate()
        };
        Greedy {
            done: sums.done,
            observed: Rate::of(sums.done, self.impressions),
            inverse_propensity: ratio(sums.n, sums.an, sums.nn),
            self_normalised: ratio(sums.b, sums.ab, sums.bb),
        }
    }
}

impl Shown<'_> {
    fn weight(&self) -> f64 {
        if self.by_chance { 0.0 } else { 1.0 / self.propensity }
    }
}

impl Sums {
    fn count(&mut self, seen: &[Shown<'_>], kind: OutcomeKind) {
        let (mut a, mut b) = (0.0, 0.0);
        for item in seen {
            b += item.weight();
            if did(item.outcomes, kind) {
                self.done += 1;
                a += item.weight();
            }
        }
        let n = seen.len() as f64;
        self.a += a;
        self.aa += a * a;
        self.ab += a * b;
        self.an += a * n;
        self.b += b;
        self.bb += b * b;
        self.n += n;
        self.nn += n * n;
    }
}

/// `Σ a / Σ d` over answers, where `d` is one of the other two.
struct Ratio<'s> {
    decisions: f64,
    effective: f64,
    sums: &'s Sums,
    denominator: f64,
    /// `Σ a d`.
    cross: f64,
    /// `Σ d²`.
    squared: f64,
}

impl Ratio<'_> {
    /// With its 95 % interval by the delta method, answer by answer, since the items of one answer are not independent:
    /// `Σ (a - θ d)² / (Σ d)²`, as of a sample. Of what never happened that would be no width; then the rule of three (Hanley and
    /// Lippman-Hand, 1983) says how often it might have.
    fn rate(&self) -> Rate {
        let Self { decisions, effective, sums, denominator, cross, squared } = *self;
        if denominator == 0.0 {
            return Rate { rate: 0.0, low: 0.0, high: 1.0 };
        }
        let rate = sums.a / denominator;
        if sums.a == 0.0 || decisions < 2.0 {
            let high = if sums.a == 0.0 { (3.0 / effective).min(1.0) } else { 1.0 };
            return Rate { rate, low: 0.0, high };
        }
        let residuals = (sums.aa - 2.0 * rate * cross + rate * rate * squared).max(0.0);
        let half = Z * (residuals * decisions / (decisions - 1.0)).sqrt() / denominator;
        Rate { rate, low: (rate - half).max(0.0), high: (rate + half).min(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const EPSILON: f64 = 0.3;
    const CLICK: &[OutcomeKind] = &[OutcomeKind::Impression, OutcomeKind::Click];
    const SEEN: &[OutcomeKind] = &[OutcomeKind::Impression];

    /// A log of answers of three places, the last two of which go to one of four challengers every so often. A customer in two likes
    /// everything more; what the greedy order offers is followed more often than what comes by chance. Of whom who likes
    /// things more, more is seen.
    fn simulated(seed: u64, decisions: usize) -> Explored {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut explored = Explored::default();
        for _ in 0..decisions {
            let liking = if random.random::<bool>() { 0.2 } else { 0.0 };
            let places = if liking > 0.0 { 3 } else { 1 + random.random_range(0..3) };
            let seen: Vec<Shown<'_>> = (0..places)
                .map(|place| {
                    let by_chance = place > 0 && random.random::<f64>() < EPSILON;
                    let propensity = match (place, by_chance) {
                        (0, _) => 1.0,
                        (_, true) => EPSILON / 4.0,
                        (_, false) => 1.0 - EPSILON,
                    };
                    let chance = liking + if by_chance { 0.02 } else { 0.1 };
                    let outcomes = if random.random::<f64>() < chance { CLICK } else { SEEN };
                    Shown { propensity, by_chance, outcomes }
                })
                .collect();
            explored.count(&seen);
        }
        explored
    }

    /// Of those who like things more three places are seen, of the others two on average.
    const TRUTH: f64 = (3.0 * 0.3 + 2.0 * 0.1) / 5.0;

    #[test]
    fn of_a_simulated_log_the_greedy_orders_rate_is_estimated_and_the_observed_one_is_not_it() {
        let greedy = simulated(1, 100_000).clicks();

        for estimate in [greedy.inverse_propensity, greedy.self_normalised] {
            assert!(estimate.low < TRUTH && TRUTH < estimate.high, "{estimate:?} of {TRUTH}");
            assert!(estimate.high - estimate.low < 0.01, "{estimate:?}");
        }
        assert!(greedy.observed.high < TRUTH, "{:?} of {TRUTH}", greedy.observed);
    }

    #[test]
    fn the_intervals_hold_the_truth_about_as_often_as_they_say() {
        let logs: Vec<Greedy> = (0..400).map(|seed| simulated(seed, 400).clicks()).collect();
        let holding = |of: fn(&Greedy) -> Rate| {
            logs.iter().map(of).filter(|rate| rate.low <= TRUTH && TRUTH <= rate.high).count()
        };

        // Of 400 at 95 %, 380 on average, and 4.4 more or less.
        for held in [holding(|greedy| greedy.inverse_propensity), holding(|greedy| greedy.self_normalised)] {
            assert!((362..=396).contains(&held), "{held} of 400");
        }
    }

    #[test]
    fn of_nothing_open_there_is_nothing_to_estimate_and_of_what_never_happened_not_certainty() {
        let sure = Shown { propensity: 1.0, by_chance: false, outcomes: CLICK };
        let open = Shown { propensity: 0.5, by_chance: false, outcomes: SEEN };
        let (mut closed, mut explored) = (Explored::default(), Explored::default());

        for _ in 0..30 {
            closed.count(slice::from_ref(&sure));
            explored.count(slice::from_ref(&open));
        }

        assert!(!closed.is_of_use() && explored.is_of_use());
        assert!((closed.clicks().inverse_propensity.rate - 1.0).abs() < 1e-12);
        let never = explored.clicks().self_normalised;
        assert!((never.rate, never.low) == (0.0, 0.0) && (never.high - 0.1).abs() < 1e-12, "{never:?}");
        assert!((explored.effective_impressions() - 30.0).abs() < 1e-9);
    }
}
