//! The choice: which candidates stand in which places by the rules in force.

use std::collections::VecDeque;

use finrank_model::{ProductClass, ProductId, Score};
use uuid::Uuid;

use crate::{Diversity, InForce, Pin, Room, Rule, SelectionCode, explore::explore};

/// A candidate as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Names it.
    pub product_id: &'a ProductId,
    /// What kind of product it is.
    pub product_class: ProductClass,
    /// Who issues it; empty when unknown.
    pub issuer: &'a str,
    /// The scorer's word on it.
    pub score: Score,
}

/// What is chosen.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    /// The first place first.
    pub places: Vec<Placed>,
    /// Pins that ask for a place among these, and that a cap leaves no room for.
    pub capped_pins: Vec<SelectionCode>,
}

/// A candidate in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Which of the candidates.
    pub candidate: usize,
    /// Which would stand here without chance.
    pub by_rank: usize,
    /// How it came to its place.
    pub placement: Placement,
    /// By what boosts multiplied its odds in the order; 1 without one.
    pub boosted_by: f64,
    /// With which probability it would be in this place, were the same candidates chosen from again and again.
    pub propensity: f64,
}

/// How a candidate came to its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// By its rank among the candidates.
    Rank,
    /// By a pin.
    Pin(SelectionCode),
    /// By chance.
    Exploration(SelectionCode),
}

/// A candidate that waits for a place.
struct Waiting {
    candidate: usize,
    relevance: f64,
    /// The largest likeness to what stands before.
    likeness: Option<f64>,
}

impl InForce<'_> {
    /// At most `k` candidates in their places. `likeness` tells how alike two candidates are, from -1 to 1. Candidates whose
    /// scores are equal keep the order in which they are given; what chance there is follows from the decision's id.
    ///
    /// Pins take their places first, and use up the room that caps leave; every other place goes, one after the other, to the
    /// best candidate that there is room for. Where candidates run out, pins move up.
    pub fn choose(
        &self,
        candidates: &[Candidate<'_>],
        k: usize,
        likeness: impl Fn(usize, usize) -> f64,
        decision_id: Uuid,
    ) -> Chosen {
        let factors: Vec<f64> = candidates.iter().map(|candidate| self.factor(candidate)).collect();
        let order = self.order(candidates, &factors);
        let mut room = Room::new(&self.caps);
        let categories: Vec<Vec<usize>> =
            candidates.iter().map(|candidate| room.categories(candidate)).collect();
        let mut chosen = Chosen::default();
        let mut pins = Vec::new();
        for pin in self.pins.iter().filter(|pin| pin.says.place <= k) {
            let Some(candidate) = pinned(pin, candidates) else { continue };
            if room.admits(&categories[candidate]) {
                room.take(&categories[candidate]);
                pins.push((pin, candidate));
            } else {
                chosen.capped_pins.push(pin.code.clone());
            }
        }
        let is_pinned = |candidate: usize| pins.iter().any(|(_, pinned)| *pinned == candidate);
        let relevance = self.relevance(candidates, &factors);
        let waiting = order.iter().copied().filter(|&candidate| !is_pinned(candidate));
        let waiting =
            waiting.map(|candidate| Waiting { candidate, relevance: relevance(candidate), likeness: None });
        let mut waiting: VecDeque<Waiting> = waiting.collect();
        let mut pins = pins.into_iter().peekable();
        while chosen.places.len() < k {
            let place = chosen.places.len() + 1;
            let due = pins.next_if(|(pin, _)| pin.says.place <= place);
            let (candidate, placement) = if let Some((pin, candidate)) = due {
                (candidate, Placement::Pin(pin.code.clone()))
            } else if let Some(candidate) = best(&mut waiting, &room, &categories, self.diversity) {
                room.take(&categories[candidate]);
                (candidate, Placement::Rank)
            } else if let Some((pin, candidate)) = pins.next() {
                (candidate, Placement::Pin(pin.code.clone()))
            } else {
                break;
            };
            if self.diversity.get() > 0.0 {
                for other in &mut waiting {
                    let alike = likeness(candidate, other.candidate);
                    other.likeness = Some(other.likeness.map_or(alike, |likeness| likeness.max(alike)));
                }
            }
            let boosted_by = factors[candidate];
            chosen.places.push(Placed {
                candidate,
                by_rank: candidate,
                placement,
                boosted_by,
                propensity: 1.0,
            });
        }
        if let Some(exploration) = self.exploration {
            explore(exploration, &order, &room, &categories, &mut chosen.places, decision_id);
            for placed in &mut chosen.places {
                placed.boosted_by = factors[placed.candidate];
            }
        }
        chosen
    }

    /// The candidates, best first: by their odds with boosts, then by score, then as they are given.
    fn order(&self, candidates: &[Candidate<'_>], factors: &[f64]) -> Vec<usize> {
        let strength = |candidate: usize| match self.boosts.is_empty() {
            true => 0.0,
            false => strength(candidates[candidate].score, factors[candidate]),
        };
        let mut order: Vec<(f64, usize)> =
            (0..candidates.len()).map(|candidate| (strength(candidate), candidate)).collect();
        order.sort_by(|(strength, a), (other, b)| {
            other.total_cmp(strength).then(candidates[*b].score.cmp(&candidates[*a].score))
        });
        order.into_iter().map(|(_, candidate)| candidate).collect()
    }

    /// Each candidate's probability with boosts, as a share of the largest.
    fn relevance(&self, candidates: &[Candidate<'_>], factors: &[f64]) -> impl Fn(usize) -> f64 {
        let boosted = |(candidate, &factor): (&Candidate<'_>, &f64)| match self.boosts.is_empty() {
            true => f64::from(candidate.score.get()),
            false => 1.0 / (1.0 + (-strength(candidate.score, factor)).exp()),
        };
        let boosted: Vec<f64> = candidates.iter().zip(factors).map(boosted).collect();
        let best = boosted.iter().copied().fold(0.0, f64::max);
        move |candidate| if best > 0.0 { boosted[candidate] / best } else { 0.0 }
    }
}

/// The logarithm of the odds of the probability that is told, with a boost.
fn strength(score: Score, factor: f64) -> f64 {
    let probability = f64::from(score.get());
    (probability / (1.0 - probability)).ln() + factor.ln()
}

/// The candidate that a pin names.
fn pinned(pin: &Rule<Pin>, candidates: &[Candidate<'_>]) -> Option<usize> {
    candidates.iter().position(|candidate| *candidate.product_id == pin.says.product_id)
}

/// Takes out of what waits the one that there is room for whose marginal relevance (Carbonell and Goldstein, 1998) is
/// largest: `(1 - d) · relevance - d · likeness`, where `d` is the diversity. The first of equals, since what waits is in
/// order.
fn best(
    waiting: &mut VecDeque<Waiting>,
    room: &Room<'_>,
    categories: &[Vec<usize>],
    diversity: Diversity,
) -> Option<usize> {
    let has_room = |waiting: &Waiting| room.admits(&categories[waiting.candidate]);
    let d = diversity.get();
    if d == 0.0 {
        // What there is no room for now there never will be.
        while waiting.front().is_some_and(|waiting| !has_room(waiting)) {
            waiting.pop_front();
        }
        return waiting.pop_front().map(|waiting| waiting.candidate);
    }
    let worth = |waiting: &Waiting| (1.0 - d) * waiting.relevance - d * waiting.likeness.unwrap_or(0.0);
    let open = waiting.iter().enumerate().filter(|(_, waiting)| has_room(waiting));
    let (place, _) = open.rev().max_by(|(_, a), (_, b)| worth(a).total_cmp(&worth(b)))?;
    waiting.remove(place).map(|waiting| waiting.candidate)
}
