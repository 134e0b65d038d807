//! Whom a model is asked about: customers who hold what its training hid. That holding is hidden from it again, and it
//! has to be found among all that the customer does not hold.

use chrono::{DateTime, Utc};
use finrank_model::{UserId, UserRecord};

use crate::{
    dataset::{Dataset, ProductIndex},
    holdout::fingerprint,
};

/// Pairs of customer and product that are scored at most, which bounds memory and time: some seconds.
const MAX_PAIRS: usize = 5_000_000;

/// Customers, each with the hidden product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Questions(Vec<Question>);

/// One customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// The position in the data set.
    pub(super) user: usize,
    pub(super) hidden: ProductIndex,
}

impl Questions {
    /// Who holds exactly one product that the training hid. As many as there is time for, those with the smallest
    /// fingerprints, so that two models are asked about the same customers as far as they can be.
    ///
    /// # Errors
    /// Says why nothing is known.
    pub(super) fn find(dataset: &Dataset, hidden: Option<&[u64]>) -> Result<Self, &'static str> {
        let hidden = hidden.ok_or("it is not recorded what its training hid; train again")?;
        let mut found: Vec<(u64, Question)> = Vec::new();
        for user in 0..dataset.users.len() {
            let mut theirs = matches(dataset, user, hidden);
            if let (Some(first), None) = (theirs.next(), theirs.next()) {
                found.push(first);
            }
        }
        found.sort_unstable_by_key(|(fingerprint, _)| *fingerprint);
        found.truncate((MAX_PAIRS / dataset.products.len().max(1)).max(100));
        found.sort_unstable_by_key(|(_, question)| question.user);
        Ok(Self(found.into_iter().map(|(_, question)| question).collect()))
    }

    /// Those whose hidden product another training hid, too.
    pub(super) fn hidden_by_both(&self, dataset: &Dataset, other: Option<&[u64]>) -> Self {
        let is_hidden = |question: &&Question| {
            let product = &dataset.products[question.hidden as usize].product_id;
            let fingerprint = fingerprint(&dataset.users[question.user].user_id, product);
            other.is_some_and(|other| other.binary_search(&fingerprint).is_ok())
        };
        Self(self.0.iter().filter(is_hidden).copied().collect())
    }

    /// Leaves out the others.
    pub(super) fn keep(&mut self, these: &[bool]) {
        let mut these = these.iter();
        self.0.retain(|_| these.next().is_some_and(|kept| *kept));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Question> {
        self.0.iter()
    }

    /// The customers as the model may see them.
    pub(super) fn records(&self, dataset: &Dataset) -> Vec<UserRecord> {
        self.0.iter().map(|question| question.hide(dataset.users[question.user].clone(), dataset)).collect()
    }

    /// What each customer is seen to hold, the hidden products left out.
    pub(super) fn seen(&self, dataset: &Dataset) -> Vec<Vec<ProductIndex>> {
        let mut seen: Vec<Vec<ProductIndex>> =
            dataset.held.iter().map(|held| held.iter().map(|holding| holding.product).collect()).collect();
        for question in &self.0 {
            seen[question.user].retain(|product| *product != question.hidden);
        }
        seen
    }
}

impl Question {
    /// Whose, and when the hidden product was acquired, as far as an event says so.
    pub(super) fn moment(&self, dataset: &Dataset) -> Option<(UserId, DateTime<Utc>)> {
        let held = &dataset.held[self.user];
        let place = held.binary_search_by_key(&self.hidden, |holding| holding.product).ok()?;
        Some((dataset.users[self.user].user_id.clone(), held[place].acquired_at?))
    }

    /// A customer's record without the hidden product.
    pub(super) fn hide(&self, mut record: UserRecord, dataset: &Dataset) -> UserRecord {
        let hidden = &dataset.products[self.hidden as usize].product_id;
        record.held.retain(|product| product != hidden);
        record
    }

    /// Positions of the products that the customer is not seen to hold; the hidden one is among them.
    pub(super) fn candidates(&self, dataset: &Dataset) -> Vec<usize> {
        let held = &dataset.held[self.user];
        let is_seen = |product: u32| {
            product != self.hidden && held.binary_search_by_key(&product, |holding| holding.product).is_ok()
        };
        (0..dataset.products.len()).filter(|&product| !is_seen(product as u32)).collect()
    }
}

fn matches<'a>(
    dataset: &'a Dataset,
    user: usize,
    hidden: &'a [u64],
) -> impl Iterator<Item = (u64, Question)> + 'a {
    dataset.held[user].iter().filter_map(move |holding| {
        let product = &dataset.products[holding.product as usize].product_id;
        let fingerprint = fingerprint(&dataset.users[user].user_id, product);
        let question = Question { user, hidden: holding.product };
        hidden.binary_search(&fingerprint).is_ok().then_some((fingerprint, question))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SplitMethod, holdout, samples::dataset, split::Split};

    const HELD: [&[&str]; 4] = [&["a", "b"], &["c"], &["a", "b", "c"], &["b", "d"]];

    fn ids(dataset: &Dataset, questions: &Questions) -> Vec<(usize, String)> {
        let id = |question: &Question| dataset.products[question.hidden as usize].product_id.to_string();
        questions.iter().map(|question| (question.user, id(question))).collect()
    }

    #[test]
    fn they_are_what_the_training_hid_also_when_more_is_known_since() {
        let before = dataset(&["a", "b", "c", "d"], &HELD);
        let split = Split::new(&before, SplitMethod::LeaveOneOut, 3).unwrap();
        let hidden = holdout::sample(&before, &split);
        // One more customer, one more product, and one more holding.
        let mut held = HELD.to_vec();
        held[0] = &["a", "aa", "b"];
        held.push(&["a", "d"]);
        let after = dataset(&["a", "aa", "b", "c", "d"], &held);

        let questions = Questions::find(&after, Some(&hidden)).unwrap();

        let expected: Vec<(usize, String)> = split
            .questions()
            .map(|(user, product)| (user, before.products[product as usize].product_id.to_string()))
            .collect();
        assert_eq!(ids(&after, &questions), expected);
    }

    #[test]
    fn the_hidden_product_is_a_candidate_and_is_not_seen() {
        let dataset = dataset(&["a", "b", "c", "d"], &HELD);
        let question = Question { user: 2, hidden: 1 };

        let questions = Questions(vec![question]);

        assert_eq!(question.candidates(&dataset), [1, 3]);
        assert_eq!(questions.seen(&dataset)[2], [0, 2]);
        let records = questions.records(&dataset);
        let held: Vec<&str> = records[0].held.iter().map(finrank_model::ProductId::as_str).collect();
        assert_eq!(held, ["a", "c"]);
    }

    #[test]
    fn of_two_trainings_only_what_both_hid_is_asked() {
        let dataset = dataset(&["a", "b", "c", "d"], &HELD);
        let [one, other] = [3, 8].map(|seed| {
            let split = Split::new(&dataset, SplitMethod::LeaveOneOut, seed).unwrap();
            (split.hidden.clone(), holdout::sample(&dataset, &split))
        });
        let questions = Questions::find(&dataset, Some(&one.1)).unwrap();

        let shared = questions.hidden_by_both(&dataset, Some(&other.1));

        let both = (0..HELD.len()).filter(|&user| one.0[user].is_some() && one.0[user] == other.0[user]);
        assert_eq!(shared.iter().map(|question| question.user).collect::<Vec<_>>(), both.collect::<Vec<_>>());
        assert_eq!(questions.hidden_by_both(&dataset, None).len(), 0);
        assert!(Questions::find(&dataset, None).is_err());
    }
}
