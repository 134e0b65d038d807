//! What of the scored candidates is offered in which place, as data: one versioned file of business rules, and what they make
//! of candidates.
//!
//! | room | tells |
//! |---|---|
//! | [`SelectionRules`] | what a file declares: pins, boosts, caps, diversity, exploration |
//! | `read` | from the TOML file to these, with everything that is wrong with it |
//! | [`Scope`] | in which scenarios a rule holds, and when |
//! | [`InForce`] | the rules that hold for one request, and what they choose |
//! | [`Room`] | what caps leave |
//! | `explore` | places given to others now and then, with the exact probability of each |
//!
//! Pure: no I/O, no clock, no chance but what follows from a decision's id. It chooses among candidates that it is given, and
//! knows nothing of who may be offered what.

mod choose;
mod explore;
mod read;
mod room;
mod rules;
mod scope;

pub use choose::{Candidate, Chosen, Placed, Placement};
pub use room::Room;
pub use rules::{
    Boost, Cap, Diversity, Exploration, InForce, Per, Pin, Rule, SelectionCode, SelectionRules, Which,
};
pub use scope::{Scenario, Scope};

/// The rules that are in force unless another file is named: none.
pub const BUILT_IN_SELECTION: &str = include_str!("../files/default.toml");
