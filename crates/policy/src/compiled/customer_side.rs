//! The customer side of each kind of rule: what passes is looked up in the sets that were prepared, not asked product
//! by product.

use std::{cmp::Reverse, collections::HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use super::{ProductSet, ladder::Ladder};
use crate::{
    Currency, FactId, Facts, Finite, Holding,
    policy::not_objected,
    product::Declared,
    rules::{Category, highest_grade},
};

/// Which of the products that a rule concerns pass, given a customer.
#[derive(Debug)]
pub(super) enum Test {
    Products(ProductSet),
    Window {
        from: Ladder<DateTime<Utc>>,
        until: Ladder<Reverse<DateTime<Utc>>>,
    },
    Held,
    Cap {
        most: usize,
        category: Category,
        members: HashMap<String, ProductSet>,
    },
    Residence {
        fact: FactId,
        allowed: Option<Vec<String>>,
        by_place: HashMap<String, ProductSet>,
        anywhere: ProductSet,
    },
    Risk {
        fact: FactId,
        up_to: [ProductSet; 5],
    },
    Range {
        fact: FactId,
        minimum: Ladder<Option<Finite>>,
        maximum: Ladder<Reverse<Upper>>,
    },
    Affordability {
        capacity: FactId,
        committed: Option<FactId>,
        percent: u32,
        amounts: HashMap<Currency, Ladder<i64>>,
    },
    Need {
        by_fact: HashMap<FactId, ProductSet>,
    },
    Consent(FactId),
    Objection(FactId),
}

/// A maximum; none is above every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Upper {
    Bound(Finite),
    None,
}

/// What a test says of a customer.
pub(super) enum Tested {
    /// The first pass, of the second it cannot tell, all others fail.
    Sorted(ProductSet, ProductSet),
    /// It cannot tell of any.
    Unknown,
}

impl Test {
    /// Tests a customer for a catalogue of so many products.
    pub(super) fn of(
        &self,
        products: usize,
        facts: &Facts,
        holdings: &[Holding<'_>],
        moment: DateTime<Utc>,
    ) -> Tested {
        self.try_of(products, facts, holdings, moment).unwrap_or(Tested::Unknown)
    }

    /// `None` where a fact is unknown.
    fn try_of(
        &self,
        products: usize,
        facts: &Facts,
        holdings: &[Holding<'_>],
        moment: DateTime<Utc>,
    ) -> Option<Tested> {
        let none = || ProductSet::empty(products);
        let passing = match self {
            Self::Products(passing) => passing.clone(),
            Self::Window { from, until } => {
                let mut open = from.up_to(&moment);
                // The end itself is outside: what ends a nanosecond later or still later is open.
                let later = moment.checked_add_signed(TimeDelta::nanoseconds(1)).unwrap_or(moment);
                open.keep(&until.up_to(&Reverse(later)));
                open
            }
            Self::Held => {
                let mut others = ProductSet::full(products);
                for (place, _) in holdings.iter().filter_map(|holding| holding.product) {
                    others.remove(place);
                }
                others
            }
            Self::Cap { most, category, members } => below_cap(*most, category, members, products, holdings),
            Self::Residence { fact, allowed, by_place, anywhere } => {
                let lives = facts.text(*fact).ok()?;
                if allowed.as_ref().is_some_and(|allowed| !allowed.iter().any(|place| place == lives)) {
                    return Some(Tested::Sorted(none(), none()));
                }
                let mut passing = anywhere.clone();
                if let Some(listed) = by_place.get(lives) {
                    passing.add(listed);
                }
                passing
            }
            Self::Risk { fact, up_to } => {
                let highest = highest_grade(facts.number(*fact).ok()?)?;
                up_to[usize::from(highest) - 1].clone()
            }
            Self::Range { fact, minimum, maximum } => {
                let number = facts.number(*fact).ok()?;
                let mut passing = minimum.up_to(&Some(number));
                passing.keep(&maximum.up_to(&Reverse(Upper::Bound(number))));
                passing
            }
            Self::Affordability { capacity, committed, percent, amounts } => {
                let (currency, capacity) = facts.money(*capacity).ok()?;
                let committed = match committed {
                    Some(committed) => facts.money(*committed).ok()?.1.max(0),
                    None => 0,
                };
                let share = (i128::from(*percent) * i128::from(capacity)).div_euclid(100);
                let most = share - i128::from(committed);
                let most = i64::try_from(most).unwrap_or(if most < 0 { i64::MIN } else { i64::MAX });
                amounts.get(currency).map_or_else(none, |ladder| ladder.up_to(&most))
            }
            Self::Need { by_fact } => {
                let (mut passing, mut unknown) = (none(), none());
                for (fact, serving) in by_fact {
                    match facts.flag(*fact) {
                        Ok(true) => passing.add(serving),
                        Ok(false) => {}
                        Err(_) => unknown.add(serving),
                    }
                }
                return Some(Tested::Sorted(passing, unknown));
            }
            Self::Consent(fact) => {
                if facts.flag(*fact).ok()? {
                    ProductSet::full(products)
                } else {
                    none()
                }
            }
            Self::Objection(fact) if not_objected(facts.get(*fact)) => ProductSet::full(products),
            Self::Objection(fact) => {
                facts.flag(*fact).ok()?;
                none()
            }
        };
        Some(Tested::Sorted(passing, none()))
    }
}

/// The products of categories of which the customer holds fewer than `most`.
fn below_cap(
    most: usize,
    category: &Category,
    members: &HashMap<String, ProductSet>,
    products: usize,
    holdings: &[Holding<'_>],
) -> ProductSet {
    let mut held: HashMap<&str, usize> = HashMap::new();
    let mut anywhere = 0;
    for holding in holdings {
        match holding.product.map(|(_, product)| category.of(&product)) {
            Some(Declared::Yes(name)) => *held.entry(name).or_default() += 1,
            Some(Declared::No | Declared::Unreadable(_)) | None => anywhere += 1,
        }
    }
    let mut passing = ProductSet::empty(products);
    for (name, of) in members {
        if held.get(name.as_str()).copied().unwrap_or_default() + anywhere < most {
            passing.add(of);
        }
    }
    passing
}
