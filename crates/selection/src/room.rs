//! What caps leave: how many more of each category an answer can take.

use std::collections::HashMap;

use finrank_model::ProductClass;

use crate::{Candidate, Cap, InForce, Per, Rule, SelectionCode};

/// A category of one cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Category<'a> {
    Class(ProductClass),
    Issuer(&'a str),
}

/// How much room there is under each cap. A category that nobody was asked about has all of it.
#[derive(Clone, Debug)]
pub struct Room<'a> {
    caps: Vec<&'a Rule<Cap>>,
    numbers: HashMap<(usize, Category<'a>), usize>,
    left: Vec<usize>,
}

impl<'a> InForce<'a> {
    /// What caps leave beside some candidates.
    pub fn room_beside<'c: 'a>(&self, chosen: impl IntoIterator<Item = Candidate<'c>>) -> Room<'a> {
        let mut room = Room::new(&self.caps);
        for candidate in chosen {
            let categories = room.categories(&candidate);
            room.take(&categories);
        }
        room
    }
}

impl<'a> Room<'a> {
    /// All of it.
    pub(crate) fn new(caps: &[&'a Rule<Cap>]) -> Self {
        Self { caps: caps.to_vec(), numbers: HashMap::new(), left: Vec::new() }
    }

    /// The categories that a candidate counts towards, by their numbers.
    pub(crate) fn categories(&mut self, candidate: &Candidate<'a>) -> Vec<usize> {
        let mut categories = Vec::new();
        for (place, cap) in self.caps.iter().enumerate() {
            if let Some(category) = category(&cap.says, candidate) {
                let next = self.left.len();
                let number = *self.numbers.entry((place, category)).or_insert(next);
                if number == next {
                    self.left.push(cap.says.most);
                }
                categories.push(number);
            }
        }
        categories
    }

    /// Whether there is room in all of some categories.
    pub(crate) fn admits(&self, categories: &[usize]) -> bool {
        categories.iter().all(|&category| self.left[category] > 0)
    }

    /// Takes one of each.
    pub(crate) fn take(&mut self, categories: &[usize]) {
        for &category in categories {
            self.left[category] -= 1;
        }
    }

    /// How many more of a category there can be.
    pub(crate) fn left(&self, category: usize) -> usize {
        self.left[category]
    }

    /// The first cap that leaves no room for a candidate.
    pub fn refused_by(&self, candidate: &Candidate<'_>) -> Option<&'a SelectionCode> {
        let full = |(place, cap): &(usize, &&'a Rule<Cap>)| {
            let number =
                category(&cap.says, candidate).and_then(|category| self.numbers.get(&(*place, category)));
            number.is_some_and(|&number| self.left[number] == 0)
        };
        self.caps.iter().enumerate().find(full).map(|(_, cap)| &cap.code)
    }
}

/// What a candidate counts as under a cap, if the cap concerns it.
fn category<'c>(cap: &Cap, candidate: &Candidate<'c>) -> Option<Category<'c>> {
    cap.of.covers(candidate).then_some(match cap.per {
        Per::Class => Category::Class(candidate.product_class),
        Per::Issuer => Category::Issuer(candidate.issuer),
    })
}
