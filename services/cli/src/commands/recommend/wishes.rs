//! What may be wished of the products to offer, in the words of the command line.

use clap::{Args, ValueEnum};
use finrank_contracts::{
    common::v1::ProductClass,
    ranking::v1::{ProductFilters, SelectionWishes},
};
use serde::{Deserialize, Serialize};

/// Which products to choose from, and how unlike they should be. The server checks them.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wishes {
    /// Choose from products of this class only; may be repeated.
    #[arg(long = "class", value_enum, value_name = "CLASS")]
    classes: Vec<ClassName>,
    /// Choose from this issuer's products only; may be repeated.
    #[arg(long = "issuer", value_name = "ISSUER")]
    issuers: Vec<String>,
    /// Choose from these products only; may be repeated.
    #[arg(long = "only", value_name = "PRODUCT_ID")]
    product_ids: Vec<String>,
    /// How much unlikeness counts beside the score, 0 to 1; what the selection file says, unless given.
    #[arg(long, allow_negative_numbers = true)]
    diversity: Option<f64>,
}

/// The product classes by the names that people type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ClassName {
    CreditCard,
    Loan,
    Wealth,
    Insurance,
}

impl From<ClassName> for ProductClass {
    fn from(name: ClassName) -> Self {
        match name {
            ClassName::CreditCard => Self::CreditCard,
            ClassName::Loan => Self::Loan,
            ClassName::Wealth => Self::Wealth,
            ClassName::Insurance => Self::Insurance,
        }
    }
}

impl Wishes {
    /// As the contract has them.
    pub(crate) fn filters(&self) -> ProductFilters {
        ProductFilters {
            product_classes: self.classes.iter().map(|&class| ProductClass::from(class).into()).collect(),
            issuers: self.issuers.clone(),
            product_ids: self.product_ids.clone(),
        }
    }

    /// As the contract has them.
    pub(crate) fn selection(&self) -> SelectionWishes {
        SelectionWishes { diversity: self.diversity }
    }
}
