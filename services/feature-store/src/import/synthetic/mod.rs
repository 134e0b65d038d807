//! A bank's worth of customers, products and events out of a seed: for trying things at size, and for tests.
//!
//! A customer has a latent taste of eight numbers. Attributes show it through noise, some of them heavy-tailed,
//! some missing; a product has a latent character near that of its class; and what a customer acquires is, of a
//! few products drawn at random, what suits the taste best. So there is something to learn, from attributes as
//! well as from holdings. The same numbers and seed give the same rows, whatever is generated beside them.
//!
//! Ids do not tell the seed: what comes of other numbers or another seed wants a database of its own.

mod catalogue;
mod customers;
mod taste;
mod truth;

use finrank_model::Statement;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use self::taste::Taste;
pub use self::truth::PlantedTruth;
use super::{
    ImportError, ImportObserver, ImportReport, Result,
    load::{BATCH_ROWS, Loader},
};

/// How much to generate, from which seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synthetic {
    /// Customers, at least one.
    pub users: u32,
    /// Products, at least four: one of each class.
    pub products: u32,
    /// Where all draws begin.
    pub seed: u64,
}

impl std::str::FromStr for Synthetic {
    type Err = ImportError;

    /// Reads `N_USERS,N_PRODUCTS,SEED`.
    fn from_str(raw: &str) -> Result<Self> {
        let wrong =
            || ImportError::Synthetic(format!("{raw:?} is not N_USERS,N_PRODUCTS,SEED, as in 1000,50,1"));
        let [users, products, seed] = raw.split(',').collect::<Vec<_>>()[..] else {
            return Err(wrong());
        };
        let number = |field: &str| field.trim().parse::<u32>().map_err(|_| wrong());
        let synthetic = Self {
            users: number(users)?,
            products: number(products)?,
            seed: seed.trim().parse().map_err(|_| wrong())?,
        };
        if synthetic.users == 0 || synthetic.products < 4 {
            return Err(ImportError::Synthetic("at least 1 user and 4 products are needed".to_owned()));
        }
        Ok(synthetic)
    }
}

/// Generates and imports, a batch of customers at a time.
///
/// # Errors
/// When Postgres goes away; what was loaded stays, and a second import completes it.
pub fn import_synthetic(
    database_url: &str,
    synthetic: Synthetic,
    observer: &mut dyn ImportObserver,
) -> Result<ImportReport> {
    let mut loader = Loader::connect(database_url)?;
    let mut report = ImportReport::default();
    let catalogue = catalogue::generate(synthetic);
    let products: Vec<_> = catalogue.iter().map(|(product, _)| Statement::first(product.clone())).collect();
    report.products = loader.products(&products)?;

    observer.begin("synthetic customers", synthetic.users.into());
    let (mut customers, mut events) = (Vec::new(), Vec::new());
    for number in 0..synthetic.users {
        let (customer, happened) = customers::generate(synthetic, number, &catalogue);
        customers.push(Statement::first(customer));
        events.extend(happened.into_iter().map(Statement::first));
        if customers.len() == BATCH_ROWS || number + 1 == synthetic.users {
            report.customers += loader.customers(&customers)?;
            report.events += loader.events(&events)?;
            customers.clear();
            events.clear();
            observer.reached(u64::from(number) + 1);
        }
    }
    Ok(report)
}

/// A generator of its own for every entity, so that each is the same whatever comes before it.
fn draws(seed: u64, kind: u64, number: u32) -> ChaCha8Rng {
    let mut draws = ChaCha8Rng::seed_from_u64(seed ^ (kind << 56));
    draws.set_stream(number.into());
    draws
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_users_products_and_seed() {
        let synthetic: Synthetic = "1000, 50,7".parse().unwrap();

        assert_eq!(synthetic, Synthetic { users: 1000, products: 50, seed: 7 });
        for raw in ["", "1000", "1000,50", "a,50,1", "1000,50,1,2", "0,50,1", "10,3,1", "-1,50,1"] {
            assert!(raw.parse::<Synthetic>().is_err(), "{raw}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_rows_and_another_gives_others() {
        let rows = |seed| {
            let synthetic = Synthetic { users: 20, products: 12, seed };
            let catalogue = catalogue::generate(synthetic);
            let customers: Vec<_> =
                (0..20).map(|number| customers::generate(synthetic, number, &catalogue)).collect();
            format!("{catalogue:?} {customers:?}")
        };

        assert_eq!(rows(1), rows(1));
        assert_ne!(rows(1), rows(2));
    }

    #[test]
    fn every_class_is_in_the_catalogue_and_every_customer_holds_something() {
        let synthetic = Synthetic { users: 50, products: 8, seed: 3 };

        let catalogue = catalogue::generate(synthetic);

        for class in finrank_model::ProductClass::ALL {
            assert!(catalogue.iter().any(|(product, _)| product.product_class == class), "{class:?}");
        }
        for number in 0..50 {
            let (_, events) = customers::generate(synthetic, number, &catalogue);
            assert!(events.iter().any(|event| event.kind == finrank_model::EventKind::Acquired));
        }
    }
}
