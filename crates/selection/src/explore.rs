//! Exploration: now and then a place of the tail goes to a candidate that would not have been offered. Each challenger belongs
//! to one place, and each place draws by itself, so that what is offered where has a probability that can be told exactly:
//! `1 - ε` for who stands there by rank, `ε / n` for each of the place's `n` challengers, 1 where there are none.

use std::collections::HashMap;

use finrank_model::Sha256Digest;
use uuid::Uuid;

use crate::{Exploration, Placed, Placement, Room, Rule};

/// Draws for each place of the tail that no pin holds. Whatever is drawn, no cap is exceeded.
pub(crate) fn explore(
    rule: &Rule<Exploration>,
    order: &[usize],
    room: &Room<'_>,
    categories: &[Vec<usize>],
    places: &mut [Placed],
    decision_id: Uuid,
) {
    let Exploration { epsilon, from_place, challengers } = rule.says;
    let tail = places.iter().enumerate().skip(from_place.saturating_sub(1));
    let tail: Vec<usize> =
        tail.filter(|(_, placed)| placed.placement == Placement::Rank).map(|(place, _)| place).collect();
    let is_offered = |candidate: &usize| places.iter().any(|placed| placed.candidate == *candidate);
    let pool = order.iter().copied().filter(|candidate| !is_offered(candidate)).take(challengers);
    let incumbents: Vec<usize> = tail.iter().map(|&place| places[place].candidate).collect();
    let challengers = shared_out(pool, &incumbents, room, categories);
    for (&place, challengers) in tail.iter().zip(challengers) {
        if challengers.is_empty() {
            continue;
        }
        let drawn = uniform(decision_id, place);
        let count = challengers.len() as f64;
        if drawn < epsilon {
            // Rounding must not reach past the last.
            let challenger = ((drawn / epsilon * count) as usize).min(challengers.len() - 1);
            places[place].candidate = challengers[challenger];
            places[place].placement = Placement::Exploration(rule.code.clone());
            places[place].propensity = epsilon / count;
        } else {
            places[place].propensity = 1.0 - epsilon;
        }
    }
}

/// The challengers of each place: the places take turns, the best challengers first. A category may come newly into as many
/// places as there is room for in it, so that all of them at once keep to the caps.
fn shared_out(
    pool: impl Iterator<Item = usize>,
    incumbents: &[usize],
    room: &Room<'_>,
    categories: &[Vec<usize>],
) -> Vec<Vec<usize>> {
    let mut challengers = vec![Vec::new(); incumbents.len()];
    let mut open_to: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut turn = 0;
    for challenger in pool {
        let places = (0..incumbents.len()).map(|step| (turn + step) % incumbents.len());
        let fits = |place: &usize| {
            let brought = newly_brought(categories, challenger, incumbents[*place]);
            brought.into_iter().all(|category| {
                let open = open_to.get(&category).map_or(&[][..], Vec::as_slice);
                open.contains(place) || open.len() < room.left(category)
            })
        };
        let Some(place) = places.into_iter().find(fits) else { continue };
        for category in newly_brought(categories, challenger, incumbents[place]) {
            let open = open_to.entry(category).or_default();
            if !open.contains(&place) {
                open.push(place);
            }
        }
        challengers[place].push(challenger);
        turn = place + 1;
    }
    challengers
}

/// The categories that a challenger counts towards, and the one whose place it takes does not.
fn newly_brought(categories: &[Vec<usize>], challenger: usize, incumbent: usize) -> Vec<usize> {
    let brought = categories[challenger].iter().copied();
    brought.filter(|category| !categories[incumbent].contains(category)).collect()
}

/// A number in [0, 1) that follows from a decision's id and a place: the first 53 bits of a SHA-256, so that whoever replays
/// the decision, in whatever program, draws the same.
fn uniform(decision_id: Uuid, place: usize) -> f64 {
    let place = (place as u64 + 1).to_le_bytes();
    let digest = Sha256Digest::of_parts([
        b"finrank.exploration.v1".as_slice(),
        decision_id.as_bytes().as_slice(),
        &place,
    ]);
    let first = digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    (first >> 11) as f64 / (1_u64 << 53) as f64
}
