//! What synthetic rows were drawn from: no model knows it, and none can do better than to find it.

use std::collections::HashMap;

use finrank_model::{ProductId, UserId};

use super::{Synthetic, catalogue, customers, taste::Taste};

/// The tastes and characters behind generated rows.
#[derive(Debug)]
pub struct PlantedTruth {
    tastes: HashMap<UserId, Taste>,
    characters: HashMap<ProductId, Taste>,
}

impl PlantedTruth {
    /// Of the rows that these numbers and this seed give.
    pub fn of(synthetic: Synthetic) -> Self {
        let catalogue = catalogue::generate(synthetic).into_iter();
        Self {
            tastes: (0..synthetic.users)
                .map(|number| (customers::user_id(number), customers::taste(synthetic, number)))
                .collect(),
            characters: catalogue.map(|(product, character)| (product.product_id, character)).collect(),
        }
    }

    /// How well a product suits a customer: of what customers come across they acquire what suits best, give or take a
    /// draw of deviation 1. Those who were not generated suit nothing and nobody.
    pub fn affinity(&self, user: &UserId, product: &ProductId) -> f64 {
        match (self.tastes.get(user), self.characters.get(product)) {
            (Some(taste), Some(character)) => taste.affinity(character),
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use finrank_model::EventKind;

    use super::*;

    #[test]
    fn ranks_what_was_acquired_above_what_was_not() {
        let synthetic = Synthetic { users: 50, products: 60, seed: 11 };
        let catalogue = catalogue::generate(synthetic);
        let truth = PlantedTruth::of(synthetic);

        let (mut acquired, mut any) = (Vec::new(), Vec::new());
        for number in 0..synthetic.users {
            let (customer, events) = customers::generate(synthetic, number, &catalogue);
            let affinity = |product: &ProductId| truth.affinity(&customer.user_id, product);
            any.extend(catalogue.iter().map(|(product, _)| affinity(&product.product_id)));
            let acquisitions = events.iter().filter(|event| event.kind == EventKind::Acquired);
            acquired.extend(acquisitions.map(|event| affinity(&event.product_id)));
        }

        let mean = |affinities: &[f64]| affinities.iter().sum::<f64>() / affinities.len() as f64;
        assert!(mean(&acquired) > mean(&any) + 2.0);
    }
}
