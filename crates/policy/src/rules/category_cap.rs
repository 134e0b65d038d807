//! Nobody is sold more than so many products of one category.

use finrank_model::AttributeName;

use super::{Case, Kind, Undeclared, unreadable};
use crate::{Offered, product::Declared, verdict::RuleResult};

/// The customer holds fewer products of the category than `most`. What is held and is in no catalogue, or does not
/// tell its category, counts towards every category.
#[derive(Clone, Debug, PartialEq)]
pub struct CategoryCap {
    /// How many a customer may come to hold.
    pub most: usize,
    /// What a category is.
    pub category: Category,
    /// What becomes of products without a category.
    pub undeclared: Undeclared,
}

/// What products have in common that are of one category.
#[derive(Clone, Debug, PartialEq)]
pub enum Category {
    /// Their class.
    Class,
    /// This attribute.
    Attribute(AttributeName),
}

impl Category {
    /// The category of a product.
    pub(crate) fn of<'a>(&self, product: &Offered<'a>) -> Declared<&'a str> {
        match self {
            Self::Class => Declared::Yes(product.product_class.as_str()),
            Self::Attribute(name) => product.text(name),
        }
    }
}

impl Kind for CategoryCap {
    fn judge(&self, case: &Case<'_>) -> RuleResult {
        let category = match self.category.of(&case.product) {
            Declared::Yes(category) => category,
            Declared::No => return self.undeclared.result(&"its category"),
            Declared::Unreadable(why) => return unreadable(why),
        };
        let counts = case.holdings.iter().filter(|holding| match holding.product {
            Some((_, held)) => match self.category.of(&held) {
                Declared::Yes(held) => held == category,
                Declared::No | Declared::Unreadable(_) => true,
            },
            None => true,
        });
        let held = counts.count();
        if held < self.most {
            RuleResult::Passes
        } else {
            RuleResult::Fails(format!("the customer holds {held} of {category}, of at most {}", self.most))
        }
    }
}
