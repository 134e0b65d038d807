//! What was acquired, in the order of time: what training learns from, each as of its moment, and what it is measured on,
//! which comes later.
//!
//! Acquisitions before a cut are examples. Of each customer the first new product from the cut on is a question: the
//! earlier half of them decide when training stops, the later half measure the model. So nothing that training sees, be
//! it to learn or to stop, is later than what it is asked.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use finrank_model::{ProductId, UserId, UserRecord};
use finrank_store::moments::Acquisition;

use crate::{LearningError, Result, dataset::ProductIndex};

/// Examples and questions by time.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Where the time is cut.
    pub cut: Cut,
    /// What is learned from, in the order of time.
    pub training: Vec<Occasion>,
    /// What decides when training stops.
    pub validation: Vec<Occasion>,
    /// What each customer of the data set is asked for, if anything.
    pub asked: Vec<Option<ProductIndex>>,
}

/// Somebody acquired something: a question together with its answer.
#[derive(Clone, Debug)]
pub struct Occasion {
    /// The customer as known just before.
    pub record: UserRecord,
    /// What the record holds, by the catalogue's positions and in their order.
    pub history: Vec<ProductIndex>,
    /// What was acquired, which was not held.
    pub acquired: ProductIndex,
}

/// Two moments: training learns from what was acquired before the first, and is measured on what was acquired from the
/// second on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Acquisitions before it are learned from.
    pub learned_until: DateTime<Utc>,
    /// Questions from it on measure the model; those before only decide when training stops.
    pub tested_from: DateTime<Utc>,
}

/// The acquisitions of each part, in the order of time.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) cut: Cut,
    pub(crate) training: Vec<&'a Acquisition>,
    pub(crate) validation: Vec<&'a Acquisition>,
    pub(crate) test: Vec<&'a Acquisition>,
}

impl<'a> Parts<'a> {
    /// Cuts acquisitions, which are in the order of time: at a moment, or after the first four fifths.
    ///
    /// # Errors
    /// When one side of the cut has none.
    pub(crate) fn cut(acquisitions: &'a [Acquisition], at: Option<DateTime<Utc>>) -> Result<Self> {
        let Some(usual) = acquisitions.get(acquisitions.len() * 4 / 5) else {
            return Err(LearningError::TooLittle("no product of the catalogue was ever acquired".to_owned()));
        };
        let learned_until = at.unwrap_or(usual.at);
        let (training, later) =
            acquisitions.split_at(acquisitions.partition_point(|each| each.at < learned_until));
        if training.is_empty() || later.is_empty() {
            let reason = if training.is_empty() {
                "nothing was acquired before it"
            } else {
                "nothing was acquired from it on"
            };
            return Err(LearningError::Setting {
                name: "split_at",
                value: learned_until.to_string(),
                reason,
            });
        }
        let questions = questions(training, later);
        let tested_from = questions.get(questions.len() / 2).map_or(learned_until, |question| question.at);
        let cut = Cut { learned_until, tested_from };
        let (validation, test) = questions.into_iter().partition(|question| question.at < tested_from);
        Ok(Self { cut, training: training.iter().collect(), validation, test })
    }
}

/// Of each customer the first product in `later` that was not acquired before.
fn questions<'a>(training: &'a [Acquisition], later: &'a [Acquisition]) -> Vec<&'a Acquisition> {
    let pair = |each: &'a Acquisition| -> (&'a UserId, &'a ProductId) { (&each.user_id, &each.product_id) };
    let mut acquired: HashSet<_> = training.iter().map(pair).collect();
    let mut asked = HashSet::new();
    later.iter().filter(|each| acquired.insert(pair(each)) && asked.insert(&each.user_id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acquisition(second: i64, user: &str, product: &str) -> Acquisition {
        Acquisition {
            at: at(second),
            user_id: UserId::parse(user).unwrap(),
            product_id: ProductId::parse(product).unwrap(),
        }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn told(part: &[&Acquisition]) -> Vec<String> {
        part.iter().map(|each| format!("{}{}", each.user_id, each.product_id)).collect()
    }

    #[test]
    fn learns_from_what_came_first_and_asks_for_the_first_new_product_of_each_customer_later() {
        let acquisitions = [
            acquisition(1, "a", "x"),
            acquisition(2, "b", "x"),
            acquisition(3, "a", "x"),
            acquisition(3, "a", "y"),
            acquisition(4, "b", "y"),
            acquisition(5, "a", "z"),
            acquisition(6, "c", "x"),
        ];

        let parts = Parts::cut(&acquisitions, Some(at(3))).unwrap();

        assert_eq!(told(&parts.training), ["ax", "bx"]);
        assert_eq!(parts.cut.tested_from, at(4));
        assert_eq!(told(&parts.validation), ["ay"], "what is acquired again is no question");
        assert_eq!(told(&parts.test), ["by", "cx"], "a customer is asked once");
    }

    #[test]
    fn without_a_moment_four_fifths_are_learned_from() {
        let acquisitions: Vec<_> =
            (0..10).map(|second| acquisition(second, &format!("u{second}"), "x")).collect();

        let parts = Parts::cut(&acquisitions, None).unwrap();

        assert_eq!((parts.training.len(), parts.validation.len(), parts.test.len()), (8, 1, 1));
    }

    #[test]
    fn says_which_side_of_the_cut_is_empty() {
        let acquisitions = [acquisition(1, "a", "x"), acquisition(2, "b", "x")];
        let said = |second| Parts::cut(&acquisitions, Some(at(second))).unwrap_err().to_string();

        assert_eq!(said(1), "split_at is 1970-01-01 00:00:01 UTC: nothing was acquired before it");
        assert_eq!(said(3), "split_at is 1970-01-01 00:00:03 UTC: nothing was acquired from it on");
        assert!(Parts::cut(&[], None).unwrap_err().to_string().contains("ever acquired"));
    }
}
