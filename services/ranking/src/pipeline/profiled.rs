//! Retrieval, scoring and selection for one customer, by the model.

use finrank_selection::InForce;

use super::{
    Ask, Pipeline, Ranked,
    business::{Business, beyond, pinned},
    candidate::{RetrievedCandidate, ScoredCandidate},
    eligibility::Eligible,
    retriever::{Retrieved, named},
    selector::{Choice, Selected},
    stage::{Stage, Watch},
};
use crate::{
    catalogue::Catalogue,
    index::{IndexError, Row, SpacedEmbedding},
};

impl Pipeline {
    /// Pins are scored whatever retrieval finds. Where caps leave too few of the candidates, more are looked for among what
    /// they do leave, until that is nothing.
    pub(super) fn by_profile(
        &self,
        catalogue: &Catalogue,
        ask: &Ask,
        user: &SpacedEmbedding,
        eligible: &Eligible,
        rules: InForce<'_>,
        watch: &mut Watch,
    ) -> Result<Ranked, IndexError> {
        let count = ask.k.max(self.candidates);
        let mut found = self.found(catalogue, user, eligible, count, watch)?;
        let pins = pinned(catalogue, &rules, eligible, ask.k);
        let beside: Vec<Row> =
            pins.into_iter().filter(|&row| found.candidates.iter().all(|found| found.row != row)).collect();
        found.candidates.extend(named(catalogue, user, &beside)?);
        let Retrieved { candidates, plan } = found;
        let mut candidates = self.scored(catalogue, user, candidates, watch)?;
        let choice = Choice { rules, k: ask.k, decision_id: ask.decision_id };
        let selected = loop {
            let selected = self.selected(catalogue, &candidates, &choice, watch);
            if selected.items.len() >= ask.k {
                break selected;
            }
            let rows: Vec<Row> = candidates.iter().map(|candidate| candidate.row).collect();
            let Some(left) = beyond(catalogue, &choice.rules, eligible, &rows, &selected) else {
                break selected;
            };
            let more = self.found(catalogue, user, &eligible.among(&left), count, watch)?.candidates;
            if more.is_empty() {
                break selected;
            }
            candidates.extend(self.scored(catalogue, user, more, watch)?);
        };
        let business = Business::new(catalogue, ask, &choice.rules, eligible, &selected, count);
        Ok(Ranked { candidates, plan: Some(plan), items: selected.items, business })
    }

    /// The retrieval stage.
    fn found(
        &self,
        catalogue: &Catalogue,
        user: &SpacedEmbedding,
        eligible: &Eligible,
        count: usize,
        watch: &mut Watch,
    ) -> Result<Retrieved, IndexError> {
        watch.stage(
            Stage::Retrieval,
            eligible.count(),
            || self.retriever.retrieve(catalogue, user, eligible, count),
            |retrieved| retrieved.as_ref().map_or(0, |retrieved| retrieved.candidates.len()),
        )
    }

    /// The scoring stage.
    fn scored(
        &self,
        catalogue: &Catalogue,
        user: &SpacedEmbedding,
        candidates: Vec<RetrievedCandidate>,
        watch: &mut Watch,
    ) -> Result<Vec<ScoredCandidate>, IndexError> {
        watch.stage(
            Stage::Scoring,
            candidates.len(),
            || self.scorer.score(catalogue, user, candidates),
            |scored| scored.as_ref().map_or(0, Vec::len),
        )
    }

    /// The selection stage. Equal scores stand in the order of product ids, which is that of rows.
    fn selected(
        &self,
        catalogue: &Catalogue,
        candidates: &[ScoredCandidate],
        choice: &Choice<'_>,
        watch: &mut Watch,
    ) -> Selected {
        let mut by_row = candidates.to_vec();
        by_row.sort_unstable_by_key(|candidate| candidate.row);
        watch.stage(
            Stage::Selection,
            by_row.len(),
            || self.selector.select(catalogue, &by_row, choice),
            |selected| selected.items.len(),
        )
    }
}
