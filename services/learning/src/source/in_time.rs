//! The data set of a split by time. An example knows what a server would have known just before: statements that were
//! true a microsecond earlier, and, unless settings say otherwise, written by then. The catalogue is today's.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use finrank_model::{Product, ProductId, UserId, UserRecord};
use finrank_store::{
    Store,
    features::{Asked, TowerFeatures},
    moments::{self, Acquisition},
};

use super::{PAGE_ROWS, all_products};
use crate::{
    DatasetReport, Knowledge, LearningError, Result, TimeSplit,
    dataset::{Acquisitions, Dataset, ProductIndex},
    timeline::{Occasion, Parts, Timeline},
};

/// What happened at a moment was not known before it; Postgres tells microseconds apart.
const JUST_BEFORE: TimeDelta = TimeDelta::microseconds(1);

pub(super) async fn read(
    store: &Store,
    split: TimeSplit,
    features: Option<&TowerFeatures>,
) -> Result<Dataset> {
    let products = all_products(store).await?;
    let catalogue = Catalogue::of(&products);
    let mut report = DatasetReport::default();
    let mut acquisitions = all_acquisitions(store).await?;
    let all = acquisitions.len();
    acquisitions.retain(|each| catalogue.0.contains_key(&each.product_id));
    report.unknown_products = all - acquisitions.len();
    let parts = Parts::cut(&acquisitions, split.at)?;

    let then = Then { store, knowledge: split.known, features };
    let training = then.occasions(&parts.training, &catalogue, &mut report).await?;
    if training.is_empty() {
        return Err(LearningError::TooLittle(nothing_known_then(split.known).to_owned()));
    }
    let validation = then.occasions(&parts.validation, &catalogue, &mut report).await?;
    let (users, asked) = then.users(&parts, &catalogue).await?;
    let times = acquisitions.iter().map(|each| ((each.user_id.clone(), each.product_id.clone()), each.at));
    let dataset = Dataset::clean(users, products, &times.collect::<Acquisitions>())?;
    let report = DatasetReport {
        unknown_products: report.unknown_products,
        examples: training.len() + validation.len(),
        unknown_then: report.unknown_then,
        repeated: report.repeated,
        ..dataset.report
    };
    // Customers come back in the order of their ids, in which they were read.
    Ok(Dataset {
        timeline: Some(Timeline { cut: parts.cut, training, validation, asked }),
        report,
        ..dataset
    })
}

fn nothing_known_then(knowledge: Knowledge) -> &'static str {
    match knowledge {
        Knowledge::Then => {
            "of no customer was anything known when they acquired something; data that was imported after the fact \
             is read with `--known-at now`"
        }
        Knowledge::By(_) => "of no customer was anything known when they acquired something",
    }
}

/// Every acquisition, in the order of time.
async fn all_acquisitions(store: &Store) -> Result<Vec<Acquisition>> {
    let mut acquisitions = Vec::new();
    loop {
        let page = moments::acquisitions(store, acquisitions.last(), PAGE_ROWS).await?;
        let is_last = page.len() < PAGE_ROWS;
        acquisitions.extend(page);
        if is_last {
            return Ok(acquisitions);
        }
    }
}

/// The position of each product.
struct Catalogue(HashMap<ProductId, ProductIndex>);

impl Catalogue {
    /// Of products in the order of their ids, as they are read.
    fn of(products: &[Product]) -> Self {
        Self(products.iter().zip(0..).map(|(product, index)| (product.product_id.clone(), index)).collect())
    }

    fn positions(&self, held: &[ProductId]) -> Vec<ProductIndex> {
        held.iter().filter_map(|product| self.0.get(product).copied()).collect()
    }
}

/// Reads customers as they were known.
pub(super) struct Then<'a> {
    pub(super) store: &'a Store,
    pub(super) knowledge: Knowledge,
    pub(super) features: Option<&'a TowerFeatures>,
}

impl Then<'_> {
    /// An occasion for each acquisition of a customer who was known then and did not hold the product.
    async fn occasions(
        &self,
        acquisitions: &[&Acquisition],
        catalogue: &Catalogue,
        report: &mut DatasetReport,
    ) -> Result<Vec<Occasion>> {
        let mut occasions = Vec::with_capacity(acquisitions.len());
        for page in acquisitions.chunks(PAGE_ROWS) {
            let asked: Vec<Asked> = page.iter().map(|each| self.before(&each.user_id, each.at)).collect();
            for (record, each) in self.records(&asked).await?.into_iter().zip(page) {
                let Some(record) = record else {
                    report.unknown_then += 1;
                    continue;
                };
                let (history, acquired) = (catalogue.positions(&record.held), catalogue.0[&each.product_id]);
                if history.contains(&acquired) {
                    report.repeated += 1;
                } else {
                    occasions.push(Occasion { record, history, acquired });
                }
            }
        }
        Ok(occasions)
    }

    /// Every customer who was known, and what they are asked for: as of the moment of what they are asked for, which is
    /// put to what they hold, or else of the cut.
    async fn users(
        &self,
        parts: &Parts<'_>,
        catalogue: &Catalogue,
    ) -> Result<(Vec<UserRecord>, Vec<Option<ProductIndex>>)> {
        let questions: HashMap<&UserId, &Acquisition> =
            parts.test.iter().map(|question| (&question.user_id, *question)).collect();
        let (mut users, mut asked_for) = (Vec::new(), Vec::new());
        let mut last: Option<UserId> = None;
        loop {
            let ids = moments::user_ids(self.store, last.as_ref(), PAGE_ROWS).await?;
            let moment =
                |id: &UserId| questions.get(id).map_or(parts.cut.learned_until, |question| question.at);
            let asked: Vec<Asked> = ids.iter().map(|id| self.before(id, moment(id))).collect();
            for mut record in self.records(&asked).await?.into_iter().flatten() {
                let question = questions.get(&record.user_id).map(|question| &question.product_id);
                let question = question.filter(|product| !record.held.contains(product));
                asked_for.push(question.map(|product| catalogue.0[product]));
                record.held.extend(question.cloned());
                users.push(record);
            }
            if ids.len() < PAGE_ROWS {
                return Ok((users, asked_for));
            }
            last = ids.last().cloned();
        }
    }

    /// What was known of customers just before moments, in their order.
    pub(super) async fn just_before(
        &self,
        moments: &[(UserId, DateTime<Utc>)],
    ) -> Result<Vec<Option<UserRecord>>> {
        let mut records = Vec::with_capacity(moments.len());
        for page in moments.chunks(PAGE_ROWS) {
            let asked: Vec<Asked> = page.iter().map(|(user_id, at)| self.before(user_id, *at)).collect();
            records.extend(self.records(&asked).await?);
        }
        Ok(records)
    }

    /// The question for what was known just before a moment.
    fn before(&self, user_id: &UserId, moment: DateTime<Utc>) -> Asked {
        let known_at = match self.knowledge {
            Knowledge::Then => moment,
            Knowledge::By(known_at) => known_at,
        };
        Asked { id: user_id.as_str().to_owned(), as_of: moment - JUST_BEFORE, known_at }
    }

    async fn records(&self, asked: &[Asked]) -> Result<Vec<Option<UserRecord>>> {
        let mut records = moments::user_records(self.store, asked).await?;
        if let Some(features) = self.features {
            let rows = features.read(self.store, asked).await?;
            for (record, row) in records.iter_mut().zip(rows) {
                if let Some(record) = record {
                    record.features = row;
                }
            }
        }
        Ok(records)
    }
}
