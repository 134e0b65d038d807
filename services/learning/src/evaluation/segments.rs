//! The same measures for parts of the customers: a mean hides whom a model serves badly.

use std::collections::{BTreeMap, HashMap, HashSet};

use finrank_model::AttributeValue;
use serde::Serialize;

use super::RankedBy;
use crate::{dataset::Dataset, metrics::Answers};

/// Numbers that take at most so many values are told apart one by one; others fall into quarters.
const FEW_VALUES: usize = 12;
/// Texts beyond the most frequent ones are taken together.
const MOST_SEGMENTS: usize = 15;
/// Holdings from which on customers are taken together.
const MANY_HOLDINGS: usize = 5;

/// Customers divided by what is known of them, and each part's quality over all seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Segmentation {
    /// By what: `holdings seen`, or an attribute.
    pub by: String,
    /// The parts, in order.
    pub segments: Vec<Segment>,
}

/// One part of the customers.
#[derive(Clone, Debug, Serialize)]
pub struct Segment {
    /// What its customers share.
    pub name: String,
    /// How many questions were asked of them, over all seeds.
    pub questions: usize,
    /// The mean reciprocal rank of each model.
    pub mrr: BTreeMap<RankedBy, f64>,
    /// The share of questions of which each model had the answer first.
    pub hit_at_1: BTreeMap<RankedBy, f64>,
}

/// Divides customers by a name for each, and adds up what is asked of them.
pub(crate) struct SegmentSums {
    by: String,
    /// A name for each customer of the data set; the number puts names in order.
    names: Vec<(usize, String)>,
    sums: BTreeMap<(usize, String), Sums>,
}

#[derive(Default)]
struct Sums {
    questions: usize,
    /// Reciprocal ranks and answers that came first.
    models: BTreeMap<RankedBy, (f64, usize)>,
}

impl SegmentSums {
    /// By the value of an attribute.
    pub(crate) fn by_attribute(dataset: &Dataset, attribute: &str) -> Self {
        let values: Vec<Option<&AttributeValue>> =
            dataset.users.iter().map(|user| user.attributes.get(attribute)).collect();
        let ranges = Ranges::of(values.iter().flatten().filter_map(|value| number(value)).collect());
        let frequent = frequent_texts(&values);
        let name = |value: &Option<&AttributeValue>| match value {
            None => (usize::MAX, "not known".to_owned()),
            Some(AttributeValue::Number(number)) => ranges.name(*number),
            Some(value) => match frequent.get(&text(value)) {
                Some(&place) => (place, text(value)),
                None => (usize::MAX - 1, "all others".to_owned()),
            },
        };
        Self { by: attribute.to_owned(), names: values.iter().map(name).collect(), sums: BTreeMap::new() }
    }

    /// By how many holdings are held, the hidden one left out.
    pub(crate) fn by_holdings(dataset: &Dataset) -> Self {
        let name = |held: usize| {
            let seen = held.saturating_sub(1).min(MANY_HOLDINGS);
            let more = if seen == MANY_HOLDINGS { " or more" } else { "" };
            (seen, format!("{seen}{more}"))
        };
        Self {
            by: "holdings seen".to_owned(),
            names: dataset.held.iter().map(|held| name(held.len())).collect(),
            sums: BTreeMap::new(),
        }
    }

    /// Adds what each model answered to one seed's questions, each about one of `customers`.
    pub(crate) fn add(&mut self, customers: &[usize], answers: &[(RankedBy, Answers)]) {
        for (question, &user) in customers.iter().enumerate() {
            let sums = self.sums.entry(self.names[user].clone()).or_default();
            sums.questions += 1;
            for (model, answers) in answers {
                let rank = answers.ranks[question];
                let (reciprocals, first) = sums.models.entry(*model).or_default();
                *reciprocals += 1.0 / (rank + 1.0);
                *first += usize::from(rank < 1.0);
            }
        }
    }

    /// The means.
    pub(crate) fn finish(self) -> Segmentation {
        let segments = self.sums.into_iter().map(|((_, name), sums)| {
            let mean = |of: &dyn Fn(&(f64, usize)) -> f64| {
                sums.models.iter().map(|(&model, sum)| (model, of(sum) / sums.questions as f64)).collect()
            };
            Segment {
                name,
                questions: sums.questions,
                mrr: mean(&|&(reciprocals, _)| reciprocals),
                hit_at_1: mean(&|&(_, first)| first as f64),
            }
        });
        Segmentation { by: self.by, segments: segments.collect() }
    }
}

fn number(value: &AttributeValue) -> Option<f64> {
    match value {
        AttributeValue::Number(number) => Some(*number),
        _ => None,
    }
}

fn text(value: &AttributeValue) -> String {
    match value {
        AttributeValue::Flag(flag) => flag.to_string(),
        AttributeValue::Number(number) => number.to_string(),
        AttributeValue::Text(text) => text.clone(),
    }
}

/// How numbers are divided.
struct Ranges {
    /// The upper ends, rising.
    ends: Vec<f64>,
    /// Whether each number is a part of its own.
    are_values: bool,
}

impl Ranges {
    /// Each value when there are few, quarters of the customers otherwise.
    fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        let mut ends = numbers.clone();
        ends.dedup();
        let are_values = ends.len() <= FEW_VALUES;
        if !are_values {
            ends = (1..=4).map(|quarter| numbers[(quarter * numbers.len()).div_ceil(4) - 1]).collect();
            ends.dedup();
        }
        Self { ends, are_values }
    }

    /// The place and the name of the part that one of the numbers belongs to.
    fn name(&self, number: f64) -> (usize, String) {
        let place = self.ends.partition_point(|end| *end < number);
        let name = match place.checked_sub(1) {
            _ if self.are_values => number.to_string(),
            None => format!("up to {}", self.ends[0]),
            Some(before) => format!("above {}, up to {}", self.ends[before], self.ends[place]),
        };
        (place, name)
    }
}

/// The place of each of the most frequent texts, in alphabetical order.
fn frequent_texts(values: &[Option<&AttributeValue>]) -> HashMap<String, usize> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for value in values.iter().flatten().filter(|value| number(value).is_none()) {
        *counts.entry(text(value)).or_default() += 1;
    }
    let mut texts: Vec<(usize, String)> = counts.into_iter().map(|(text, count)| (count, text)).collect();
    texts.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let frequent: HashSet<String> = texts.into_iter().take(MOST_SEGMENTS).map(|(_, text)| text).collect();
    let mut frequent: Vec<String> = frequent.into_iter().collect();
    frequent.sort();
    frequent.into_iter().enumerate().map(|(place, text)| (text, place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_numbers_are_parts_of_their_own_and_many_fall_into_quarters() {
        let few = Ranges::of(vec![3.0, 1.0, 3.0]);
        let many = Ranges::of((1..=100).map(f64::from).collect());

        assert_eq!(few.name(3.0), (1, "3".to_owned()));
        assert_eq!(many.name(25.0), (0, "up to 25".to_owned()));
        assert_eq!(many.name(26.0), (1, "above 25, up to 50".to_owned()));
        assert_eq!(many.name(100.0), (3, "above 75, up to 100".to_owned()));
    }

    #[test]
    fn rare_texts_are_taken_together() {
        let texts: Vec<AttributeValue> =
            (0..20).flat_map(|text| vec![AttributeValue::Text(format!("t{text:02}")); 20 - text]).collect();
        let values: Vec<Option<&AttributeValue>> = texts.iter().map(Some).collect();

        let frequent = frequent_texts(&values);

        assert_eq!(frequent.len(), MOST_SEGMENTS);
        assert_eq!(frequent.get("t00"), Some(&0));
        assert_eq!(frequent.get("t19"), None);
    }
}
