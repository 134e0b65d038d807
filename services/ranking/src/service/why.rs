//! Why: what a request wishes to be told of it, and the words in which it is.

use std::collections::HashMap;

use finrank_contracts::ranking::v1;
use finrank_model::{
    Attribution, Embedding, InvalidField, UserId,
    reasons::{Principal, ReasonTable, Side},
};
use tracing::warn;

use super::{RankingService, response::count};
use crate::{
    RankingError, Result,
    catalogue::Catalogue,
    deadline::Deadline,
    explanations::{ExplainableCustomer, FedInputs, Unexplained},
    index::Row,
    pipeline::{Ask, Basis, ScoredCandidate},
};

/// The longest name of a purpose.
const MAX_PURPOSE_BYTES: usize = 63;

/// What a request wishes to be told of why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WhyWishes {
    pub(super) view: View,
    /// `None` for the one of the settings.
    purpose: Option<String>,
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Nothing,
    Reasons,
    Audit,
}

impl WhyWishes {
    /// Parses the wishes of a request; without any nothing is told.
    ///
    /// # Errors
    /// Names the part that cannot be.
    pub(super) fn parse(wishes: Option<&v1::ExplanationWishes>) -> Result<Self, InvalidField> {
        let Some(wishes) = wishes else {
            return Ok(Self { view: View::Nothing, purpose: None });
        };
        let view = match v1::ExplanationView::try_from(wishes.view) {
            Ok(v1::ExplanationView::Unspecified | v1::ExplanationView::None) => View::Nothing,
            Ok(v1::ExplanationView::Reasons) => View::Reasons,
            Ok(v1::ExplanationView::Audit) => View::Audit,
            Err(_) => {
                let reason = format!("is {}, which names no view", wishes.view);
                return Err(InvalidField::new("explain.view", reason));
            }
        };
        let purpose = match wishes.purpose.as_str() {
            "" if view == View::Audit => {
                Err("is missing: the audit view is told for a purpose that is stated".to_owned())
            }
            "" => Ok(None),
            purpose if purpose.len() > MAX_PURPOSE_BYTES => {
                Err(format!("has {} bytes, at most {MAX_PURPOSE_BYTES} are allowed", purpose.len()))
            }
            purpose => Ok(Some(purpose.to_owned())),
        };
        let purpose = purpose.map_err(|reason| InvalidField::new("explain.purpose", reason))?;
        Ok(Self { view, purpose })
    }

    /// Whether anything is to be told.
    pub(super) fn any(&self) -> bool {
        self.view != View::Nothing
    }
}

/// Why, in the contract's words: of an answer as a whole, and of each of its products.
pub(super) struct Why {
    pub(super) report: v1::ExplanationReport,
    /// As many as products were asked about; none where there is no explanation.
    pub(super) items: Vec<WhyItem>,
}

/// Why one product.
#[derive(Default)]
pub(super) struct WhyItem {
    pub(super) reasons: Vec<v1::Reason>,
    /// What speaks against it.
    pub(super) adverse: Vec<v1::Reason>,
    pub(super) attributions: Option<v1::Attributions>,
}

impl RankingService {
    /// What was fed to the towers of customers, if it is wished for. That the feature store does not say is no reason to offer
    /// nothing; that the purpose is none, is.
    pub(super) async fn fed(
        &self,
        user_ids: &[UserId],
        catalogue: &Catalogue,
        wishes: &WhyWishes,
        deadline: Deadline,
    ) -> Result<HashMap<UserId, FedInputs>> {
        if !wishes.any() || user_ids.is_empty() || catalogue.explanations().is_none() {
            return Ok(HashMap::new());
        }
        let purpose = wishes.purpose.as_deref().unwrap_or(&self.explanation_purpose);
        match self.feature_store.tower_inputs(user_ids, catalogue.generation(), purpose, deadline).await {
            Ok(fed) => Ok(fed),
            Err(error @ RankingError::Invalid(_)) => Err(error),
            Err(error) => {
                warn!(%error, "nobody says what towers have read: scores are not explained");
                Ok(HashMap::new())
            }
        }
    }
}

impl Why {
    /// Why these products score as they do for whoever asks.
    pub(super) fn of_items(
        catalogue: &Catalogue,
        ask: &Ask,
        fed: Option<FedInputs>,
        items: &[ScoredCandidate],
        view: View,
    ) -> Self {
        Self::try_of_items(catalogue, ask, fed, items, view).unwrap_or_else(Self::without)
    }

    fn try_of_items(
        catalogue: &Catalogue,
        ask: &Ask,
        fed: Option<FedInputs>,
        items: &[ScoredCandidate],
        view: View,
    ) -> Result<Self, Unexplained> {
        let user = match (&ask.basis, &ask.degradation) {
            (Basis::Profile { user, .. }, _) => user,
            (Basis::Popularity(_) | Basis::Nothing, Some(_)) => return Err(Unexplained::NotScored),
            (Basis::Popularity(_) | Basis::Nothing, None) => return Err(Unexplained::ProfilingObjection),
        };
        let model = catalogue.explanations().ok_or(Unexplained::ModelNotExplainable)?;
        let fed = fed.ok_or(Unexplained::InputsUnavailable)?;
        let customer = model.customer(&ask.customer.user_id, fed, &user.embedding)?;
        let embedding = |row: Row| catalogue.index().embedding(row).embedding;
        let products: Vec<Embedding> = items.iter().map(|item| embedding(item.row)).collect();
        let explained = customer.explain(&products)?;
        let items = items.iter().zip(&explained).map(|(item, attribution)| WhyItem {
            reasons: told(&customer, attribution, Side::Favourable),
            adverse: told(&customer, attribution, Side::Adverse),
            attributions: (view == View::Audit).then(|| audited(&customer, attribution, item)),
        });
        Ok(Self {
            report: v1::ExplanationReport {
                status: v1::ExplanationStatus::Explained.into(),
                notice: None,
                reason_table: Some(table_version(model.table())),
            },
            items: items.collect(),
        })
    }

    /// That there is no explanation, and why.
    pub(super) fn without(unexplained: Unexplained) -> Self {
        let status = status(unexplained);
        let (text_en, text_zh) = notice(unexplained);
        let notice = v1::Reason {
            code: status.as_str_name().trim_start_matches("EXPLANATION_STATUS_").to_owned(),
            text_en: text_en.to_owned(),
            text_zh: text_zh.to_owned(),
            contribution: 0.0,
        };
        let report =
            v1::ExplanationReport { status: status.into(), notice: Some(notice), reason_table: None };
        Self { report, items: Vec::new() }
    }

    /// Puts it to an answer's items.
    pub(super) fn tell(self, response: &mut v1::RecommendResponse) {
        for (item, why) in response.items.iter_mut().zip(self.items) {
            (item.reasons, item.attributions) = (why.reasons, why.attributions);
        }
        response.explanation = Some(self.report);
    }
}

/// Which table.
pub(super) fn table_version(table: &ReasonTable) -> v1::ReasonTableVersion {
    v1::ReasonTableVersion { version: table.version.clone(), sha256: table.digest.to_string() }
}

/// What speaks for an item, or against it.
fn told(customer: &ExplainableCustomer<'_>, attribution: &Attribution, side: Side) -> Vec<v1::Reason> {
    let reason = |Principal { reason, contribution }: Principal<'_>| {
        let text = reason.text(side);
        v1::Reason {
            code: reason.code.clone(),
            text_en: text.english.clone(),
            text_zh: text.chinese.clone(),
            contribution,
        }
    };
    customer.principal(attribution, side).into_iter().map(reason).collect()
}

fn audited(
    customer: &ExplainableCustomer<'_>,
    attribution: &Attribution,
    item: &ScoredCandidate,
) -> v1::Attributions {
    let all = customer.contributions(attribution);
    let inputs = all.told.into_iter().map(|told| v1::InputContribution {
        input: told.input,
        contribution: told.contribution,
        reason_code: told.reason,
        protected: told.protected,
    });
    v1::Attributions {
        inputs: inputs.collect(),
        withheld_contribution: all.withheld,
        withheld_count: count(all.withheld_count),
        baseline_logit: attribution.baseline_logit,
        logit: attribution.logit,
        served_logit: item.score.logit().into(),
        contributions_sum: all.sum,
    }
}

fn status(unexplained: Unexplained) -> v1::ExplanationStatus {
    match unexplained {
        Unexplained::ProfilingObjection => v1::ExplanationStatus::ProfilingObjection,
        Unexplained::InputsChanged => v1::ExplanationStatus::InputsChanged,
        Unexplained::InputsUnavailable => v1::ExplanationStatus::InputsUnavailable,
        Unexplained::ModelNotExplainable => v1::ExplanationStatus::ModelNotExplainable,
        Unexplained::NotScored => v1::ExplanationStatus::NotScored,
        Unexplained::RuledOut => v1::ExplanationStatus::RuledOut,
    }
}

/// What people read, in English and in simplified Chinese.
fn notice(unexplained: Unexplained) -> (&'static str, &'static str) {
    match unexplained {
        Unexplained::ProfilingObjection => (
            "You object to profiling: no model had a say, and products come in the order in which most people hold them",
            "您已拒绝用户画像分析：未使用任何模型，产品按持有人数排序",
        ),
        Unexplained::InputsChanged => (
            "What is known of you has changed since this was computed; ask again in a moment",
            "您的信息在计算之后已发生变化，请稍后再查询",
        ),
        Unexplained::InputsUnavailable => (
            "What this was computed from cannot be told just now; ask again later",
            "目前无法提供计算所依据的信息，请稍后再查询",
        ),
        Unexplained::NotScored => (
            "No model had a say: too little of you could be told just now; ask again later",
            "目前可用的信息不足，未使用任何模型，请稍后再查询",
        ),
        Unexplained::ModelNotExplainable => {
            ("The scores of this model cannot be explained", "该模型的评分无法提供解释")
        }
        Unexplained::RuledOut => (
            "This product may not be offered to you, whatever its score: rules stand against it",
            "有规则不允许向您推荐该产品，与评分无关",
        ),
    }
}
