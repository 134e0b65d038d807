//! The business rules in force.

use finrank_decisions::contents::ContentKind;
use finrank_model::Sha256Digest;
use finrank_selection::SelectionRules;

use crate::{
    RankingError, Result, SelectionConfig,
    in_force::{InForce, Rulebook},
};

/// Holds the rules in force.
pub(crate) type Selections = InForce<SelectionRules>;

impl Rulebook for SelectionRules {
    type Config = SelectionConfig;
    const NAME: &'static str = "selection";
    const KIND: ContentKind = ContentKind::Selection;

    fn load(config: &SelectionConfig) -> Result<Self> {
        config.load().map_err(RankingError::Selection)
    }

    fn version(&self) -> &str {
        self.version()
    }

    fn digest(&self) -> Sha256Digest {
        self.digest()
    }

    fn text(&self) -> &str {
        self.text()
    }
}
