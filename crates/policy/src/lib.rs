//! Who may be offered what, as data: one versioned policy file, the rules that it holds, and what they say of a customer
//! and a product.
//!
//! | room | tells |
//! |---|---|
//! | [`Policy`] | what a file declares: facts, rules, and who may be profiled |
//! | `read` | from the TOML file to a policy, with everything that is wrong with it |
//! | [`Facts`] | what is known of a customer at a moment; what is not counts as the strictest case |
//! | [`rules`] | the kinds of rules, a struct each, and what each says of one customer and one product |
//! | [`Verdict`] | what all rules together say |
//! | [`CompiledPolicy`] | the same for a whole catalogue at once, by bitmaps |
//! | [`Proof`] | what was decided, by which rules and from what, under one digest |
//! | [`cases`] | a policy's own tests, from a file beside it |
//!
//! Pure: no I/O, no clock. It knows products and features by `finrank-model`, and nothing of servers or indexes.

pub mod cases;
mod compiled;
mod facts;
mod money;
mod policy;
mod product;
mod proof;
mod read;
pub mod rules;
mod verdict;

pub use compiled::{Admission, CompiledPolicy, ProductSet};
pub use facts::{Fact, FactId, FactState, FactType, FactValue, Facts, Finite, Given, GivenValue, Unknown};
pub use money::{Currency, MoneyUnit};
pub use policy::{FactSource, Policy, PolicyVersion, Profiling};
pub use product::Offered;
pub use proof::{Proof, ProofInput};
pub use rules::{Case, Holding, OnFailure, Rule, RuleCode};
pub use verdict::{Finding, Outcome, RuleResult, Verdict};

/// The policy that is in force unless another file is named. It fits the data of `finrank import --synthetic` and
/// `--caravan`, and says where a bank will want to be stricter.
pub const BUILT_IN_POLICY: &str = include_str!("../policies/default.toml");
