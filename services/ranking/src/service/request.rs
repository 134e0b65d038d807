//! Requests, parsed: once past here, every id, count and vector is what it must be. All faults of a request
//! are named at once.

use std::ops::RangeInclusive;

use finrank_contracts::ranking::v1::{self, retrieve_request::Query};
use finrank_model::{Embedding, EmbeddingSpace, InvalidField, ProductId, UserId};
use uuid::Uuid;

use super::{audit::decision_id, debug::DebugFields, why::WhyWishes, wishes};
use crate::{
    Generation, RankingError, Result,
    feature_store::ENTITIES,
    index::{IndexError, SpacedEmbedding},
    pipeline::{Scenario, Terms},
};

/// The most products of one answer.
const MAX_K: u32 = 500;
/// The most products that one request may exclude.
const MAX_EXCLUDED: usize = 1000;
/// The most products that one request may have scored.
const MAX_SCORED: usize = 1000;

/// The most products that one request may have explained.
const MAX_EXPLAINED: usize = 1000;

type Field<T> = std::result::Result<T, InvalidField>;

/// Recommend.
#[derive(Debug)]
pub(super) struct Recommend {
    pub(super) user_id: UserId,
    pub(super) wanted: Wanted,
}

/// What to recommend, to whomever.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) k: usize,
    pub(super) terms: Terms,
    /// What to tell of how the answer came about.
    pub(super) debug: DebugFields,
    /// What to tell of why.
    pub(super) explain: WhyWishes,
}

impl Recommend {
    pub(super) fn parse(request: &v1::RecommendRequest) -> Result<Self> {
        let (user_id, wanted) = both(UserId::parse(&request.user_id), Wanted::parse(request))?;
        Ok(Self { user_id, wanted })
    }
}

impl Wanted {
    fn parse(request: &v1::RecommendRequest) -> Result<Self, Vec<InvalidField>> {
        let k = k(request.k);
        let scenario = scenario(request.scenario);
        let excluded = product_ids("exclude_product_ids", &request.exclude_product_ids, 0..=MAX_EXCLUDED);
        let debug = DebugFields::parse(request.debug.as_ref().map_or(&[], |mask| &mask.paths));
        let filters = wishes::filters(request.filters.as_ref());
        let diversity = wishes::diversity(request.selection.as_ref());
        let explain = WhyWishes::parse(request.explain.as_ref());
        match (k, scenario, excluded, debug, filters, diversity, explain) {
            (Ok(k), Ok(scenario), Ok(excluded), Ok(debug), Ok(filters), Ok(diversity), Ok(explain)) => {
                Ok(Self { k, terms: Terms { scenario, excluded, filters, diversity }, debug, explain })
            }
            (k, scenario, excluded, debug, filters, diversity, explain) => {
                let faults =
                    [k.err(), scenario.err(), excluded.err(), diversity.err(), explain.err(), debug.err()];
                Err(faults.into_iter().flatten().chain(filters.err().unwrap_or_default()).collect())
            }
        }
    }
}

/// One message of BatchRecommend.
#[derive(Debug)]
pub(super) struct BatchRecommend {
    pub(super) user_ids: Vec<UserId>,
    pub(super) wanted: Wanted,
}

impl BatchRecommend {
    pub(super) fn parse(message: &v1::BatchRecommendRequest) -> Result<Self> {
        let user_ids = user_ids("user_ids", &message.user_ids, 1..=ENTITIES);
        let wanted = wanted_within(message.request.as_ref(), "user_ids name the customers");
        let (user_ids, wanted) = both(user_ids, wanted)?;
        Ok(Self { user_ids, wanted })
    }
}

/// ExplainItem.
#[derive(Debug)]
pub(super) struct ExplainItem {
    pub(super) user_id: UserId,
    pub(super) product_id: ProductId,
    /// Of which its place is to be explained.
    pub(super) wanted: Wanted,
}

impl ExplainItem {
    pub(super) fn parse(mut message: v1::ExplainItemRequest) -> Result<Self> {
        let explain = message.request.as_mut().map(|request| request.explain.get_or_insert_default());
        // Whoever asks why wants to know.
        if let Some(explain) = explain.filter(|explain| explain.view() == v1::ExplanationView::Unspecified) {
            explain.set_view(v1::ExplanationView::Reasons);
        }
        let who = UserId::parse(&message.user_id);
        let what = ProductId::parse(&message.product_id);
        let wanted = wanted_within(message.request.as_ref(), "user_id names the customer");
        match (who, what, wanted) {
            (Ok(user_id), Ok(product_id), Ok(wanted)) => Ok(Self { user_id, product_id, wanted }),
            (who, what, wanted) => {
                let faults = who.err().into_iter().chain(what.err()).chain(wanted.err().unwrap_or_default());
                Err(RankingError::Invalid(faults.collect()))
            }
        }
    }
}

/// ExplainDecision.
#[derive(Debug)]
pub(super) struct ExplainDecision {
    pub(super) decision_id: Uuid,
    /// The product that is asked about.
    pub(super) product_id: Option<ProductId>,
}

impl ExplainDecision {
    pub(super) fn parse(request: &v1::ExplainDecisionRequest) -> Result<Self> {
        let decision_id = decision_id(&request.decision_id)?;
        let product_id = match request.product_id.as_str() {
            "" => None,
            product_id => Some(ProductId::parse(product_id)?),
        };
        Ok(Self { decision_id, product_id })
    }
}

/// What a message wants by the request of Recommend within it, which names no customer of its own.
fn wanted_within(
    request: Option<&v1::RecommendRequest>,
    named_by: &str,
) -> Result<Wanted, Vec<InvalidField>> {
    match request {
        Some(request) if request.user_id.is_empty() => Wanted::parse(request)
            .map_err(|faults| faults.into_iter().map(|fault| fault.within("request")).collect()),
        Some(_) => Err(vec![InvalidField::new("request.user_id", format!("is not empty: {named_by}"))]),
        None => Err(vec![InvalidField::new("request", "is missing")]),
    }
}

/// Who and what, or all that is wrong with either.
fn both<W>(who: Field<W>, wanted: Result<Wanted, Vec<InvalidField>>) -> Result<(W, Wanted)> {
    match (who, wanted) {
        (Ok(who), Ok(wanted)) => Ok((who, wanted)),
        (who, wanted) => {
            let faults = who.err().into_iter().chain(wanted.err().unwrap_or_default());
            Err(RankingError::Invalid(faults.collect()))
        }
    }
}

/// Retrieve.
#[derive(Debug)]
pub(super) struct Retrieve {
    pub(super) by: RetrieveBy,
    pub(super) k: usize,
    pub(super) scenario: Scenario,
}

/// What Retrieve searches with.
#[derive(Debug)]
pub(super) enum RetrieveBy {
    User(UserId),
    Vector(QueryVector),
}

/// A caller's vector; whether it fits is known once there is a catalogue to fit.
#[derive(Debug)]
pub(super) struct QueryVector {
    values: Vec<f32>,
    space: EmbeddingSpace,
}

impl Retrieve {
    pub(super) fn parse(request: v1::RetrieveRequest) -> Result<Self> {
        let by = match request.query {
            Some(Query::UserId(user_id)) => UserId::parse(user_id).map(RetrieveBy::User),
            Some(Query::Vector(vector)) => QueryVector::parse(vector).map(RetrieveBy::Vector),
            None => Err(InvalidField::new("query", "has neither a user_id nor a vector")),
        };
        match (by, k(request.k), scenario(request.scenario)) {
            (Ok(by), Ok(k), Ok(scenario)) => Ok(Self { by, k, scenario }),
            (by, k, scenario) => Err(faults([by.err(), k.err(), scenario.err()])),
        }
    }
}

impl QueryVector {
    fn parse(vector: v1::QueryVector) -> Field<Self> {
        let space = EmbeddingSpace::parse(vector.embedding_space)
            .map_err(|invalid| InvalidField::new("vector.embedding_space", invalid.reason))?;
        Ok(Self { values: vector.values, space })
    }

    /// The vector as an embedding of a catalogue's space. The space is looked at first, since it decides the
    /// dimension.
    pub(super) fn of(self, catalogue: &Generation) -> Result<SpacedEmbedding> {
        if self.space != catalogue.embedding_space {
            let index = catalogue.embedding_space.clone();
            return Err(IndexError::OtherSpace { query: self.space, index }.into());
        }
        let embedding = Embedding::new(self.values, catalogue.dimension)
            .map_err(|invalid| InvalidField::new("vector.values", invalid.to_string()))?;
        Ok(SpacedEmbedding { embedding, space: self.space })
    }
}

/// A vector that is too long is its sender's fault.
pub(super) fn blame_vector(error: IndexError) -> RankingError {
    match error {
        IndexError::TooLong => {
            let reason = "has components so large that an inner product with it may not be finite";
            InvalidField::new("vector.values", reason).into()
        }
        error => error.into(),
    }
}

/// Score.
#[derive(Debug)]
pub(super) struct Score {
    pub(super) user_id: UserId,
    pub(super) product_ids: Vec<ProductId>,
}

impl Score {
    pub(super) fn parse(request: &v1::ScoreRequest) -> Result<Self> {
        let product_ids = product_ids("product_ids", &request.product_ids, 1..=MAX_SCORED);
        match (UserId::parse(&request.user_id), product_ids) {
            (Ok(user_id), Ok(product_ids)) => Ok(Self { user_id, product_ids }),
            (user_id, product_ids) => Err(faults([user_id.err(), product_ids.err()])),
        }
    }
}

/// SimilarProducts.
#[derive(Debug)]
pub(super) struct Similar {
    pub(super) product_id: ProductId,
    pub(super) k: usize,
}

impl Similar {
    pub(super) fn parse(request: &v1::SimilarProductsRequest) -> Result<Self> {
        match (ProductId::parse(&request.product_id), k(request.k)) {
            (Ok(product_id), Ok(k)) => Ok(Self { product_id, k }),
            (product_id, k) => Err(faults([product_id.err(), k.err()])),
        }
    }
}

/// ExplainEligibility.
#[derive(Debug)]
pub(super) struct Explain {
    pub(super) user_id: UserId,
    /// Empty for all of the catalogue.
    pub(super) product_ids: Vec<ProductId>,
    pub(super) page_size: usize,
    /// The last product of the page before.
    pub(super) after: Option<ProductId>,
}

impl Explain {
    pub(super) fn parse(request: &v1::ExplainEligibilityRequest) -> Result<Self> {
        let user_id = UserId::parse(&request.user_id);
        let product_ids = product_ids("product_ids", &request.product_ids, 0..=MAX_EXPLAINED);
        let page_size = page_size(request.page_size);
        let after = page_token(&request.page_token);
        match (user_id, product_ids, page_size, after) {
            (Ok(user_id), Ok(product_ids), Ok(page_size), Ok(after)) => {
                Ok(Self { user_id, product_ids, page_size, after })
            }
            (user_id, product_ids, page_size, after) => {
                Err(faults([user_id.err(), product_ids.err(), page_size.err(), after.err()]))
            }
        }
    }
}

fn page_size(raw: u32) -> Field<usize> {
    match raw as usize {
        0 => Ok(MAX_EXPLAINED),
        size @ 1..=MAX_EXPLAINED => Ok(size),
        size => Err(InvalidField::new("page_size", format!("is {size}, not 0 to {MAX_EXPLAINED}"))),
    }
}

fn page_token(raw: &str) -> Field<Option<ProductId>> {
    if raw.is_empty() {
        return Ok(None);
    }
    let parsed = ProductId::parse(raw).map(Some);
    parsed.map_err(|_| InvalidField::new("page_token", "is none that a page was answered with"))
}

fn faults<const N: usize>(faults: [Option<InvalidField>; N]) -> RankingError {
    RankingError::Invalid(faults.into_iter().flatten().collect())
}

fn k(raw: u32) -> Field<usize> {
    if (1..=MAX_K).contains(&raw) {
        Ok(raw as usize)
    } else {
        Err(InvalidField::new("k", format!("is {raw}, not 1 to {MAX_K}")))
    }
}

pub(super) fn scenario(raw: i32) -> Field<Scenario> {
    match v1::Scenario::try_from(raw) {
        Ok(v1::Scenario::Unspecified | v1::Scenario::All) => Ok(Scenario::All),
        Ok(v1::Scenario::Credit) => Ok(Scenario::Credit),
        Ok(v1::Scenario::Wealth) => Ok(Scenario::Wealth),
        Ok(v1::Scenario::Insurance) => Ok(Scenario::Insurance),
        Err(_) => Err(InvalidField::new("scenario", format!("is {raw}, which names no scenario"))),
    }
}

pub(super) fn product_ids(
    field: &str,
    raw: &[String],
    allowed: RangeInclusive<usize>,
) -> Field<Vec<ProductId>> {
    ids(field, raw, allowed, |raw| ProductId::parse(raw))
}

fn user_ids(field: &str, raw: &[String], allowed: RangeInclusive<usize>) -> Field<Vec<UserId>> {
    ids(field, raw, allowed, |raw| UserId::parse(raw))
}

/// Checks how many ids there are, and each of them; a bad one is named by its place: `product_ids[3]`.
fn ids<T>(
    field: &str,
    raw: &[String],
    allowed: RangeInclusive<usize>,
    parse: impl Fn(&str) -> Field<T>,
) -> Field<Vec<T>> {
    entries(field, raw.len(), &allowed)?;
    let parse = |(place, raw): (usize, &String)| {
        parse(raw).map_err(|invalid| InvalidField::new(format!("{field}[{place}]"), invalid.reason))
    };
    raw.iter().enumerate().map(parse).collect()
}

/// Checks how many entries a list has.
pub(super) fn entries(field: &str, count: usize, allowed: &RangeInclusive<usize>) -> Field<()> {
    if allowed.contains(&count) {
        return Ok(());
    }
    let (least, most) = (allowed.start(), allowed.end());
    Err(InvalidField::new(field, format!("has {count} entries, {least} to {most} are allowed")))
}
