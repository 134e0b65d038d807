//! Why a model scores a customer and a product as it does: contributions of what its user tower read, and the reasons that
//! they are told by. Nothing is explained by inputs of which the tower makes another embedding than the one that was
//! ranked by.

use std::{collections::HashMap, sync::Arc};

use finrank_contracts::feature::v1::{TowerInput, TowerInputs};
use finrank_model::{
    Attribution, Bundle, Embedding, Explainer, InputName, InvalidField, ModelError, ProductId, UserId,
    UserRecord,
    features::{FeatureRow, FeatureSet},
    reasons::{InputReasons, Principal, ReasonTable, Side},
};
use finrank_serving::wire;
use tracing::warn;

use crate::catalogue::CatalogueError;

/// What one model's scores are explained with.
#[derive(Debug)]
pub struct Explanations {
    explainer: Explainer,
    /// Of each of the explainer's inputs.
    inputs: Vec<KnownInput>,
    reasons: InputReasons,
}

/// What is known of an input, whoever the customer is.
#[derive(Debug)]
struct KnownInput {
    /// As the feature store names it.
    name: String,
    /// Whether people could not be told apart by it already when the model was trained.
    protected: bool,
}

/// What the feature store says was fed to the tower of one customer.
#[derive(Clone, Debug)]
pub(crate) struct FedInputs {
    pub(crate) inputs: TowerInputs,
    /// What it says of each input; the same for all customers of an answer.
    pub(crate) declared: Arc<[TowerInput]>,
}

/// Why there is no explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unexplained {
    /// The customer objects to profiling.
    ProfilingObjection,
    /// The tower makes another embedding of what is known by now.
    InputsChanged,
    /// The feature store did not say what the tower read.
    InputsUnavailable,
    /// The model has no mean customer to start from, or its paths bend too often.
    ModelNotExplainable,
    /// No model had a say: the customer's embedding could not be had.
    NotScored,
    /// The product may not be offered.
    RuledOut,
}

/// A customer whose scores can be explained.
#[derive(Debug)]
pub(crate) struct ExplainableCustomer<'e> {
    model: &'e Explanations,
    record: UserRecord,
    /// Of each input.
    telling: Vec<Telling>,
}

/// Whether an input may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Telling {
    /// People may not be told apart by it.
    protected: bool,
    /// Not for this purpose.
    denied: bool,
}

/// What one input, or all of the products that are not held, gave.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Contribution {
    pub(crate) input: String,
    pub(crate) contribution: f64,
    pub(crate) reason: String,
    pub(crate) protected: bool,
}

/// Everything that gave to one score, as far as it may be told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Contributions {
    /// The largest first, by magnitude.
    pub(crate) told: Vec<Contribution>,
    pub(crate) withheld: f64,
    pub(crate) withheld_count: usize,
    pub(crate) sum: f64,
}

impl Explanations {
    /// Of a model, told by a table; `None` of a bundle that does not say from whom explanations start.
    ///
    /// # Errors
    /// When the table has no code for something that the user tower reads: such a model is not served.
    pub fn of(bundle: &Bundle, table: &Arc<ReasonTable>) -> Result<Option<Self>, CatalogueError> {
        let explainer = match bundle.explainer() {
            Ok(explainer) => explainer,
            Err(ModelError::NoMeans { version }) => {
                warn!(
                    version,
                    "the model's scores cannot be explained: it was trained by an earlier version"
                );
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let reasons = table.of_inputs(explainer.inputs())?;
        let features = explainer.feature_set();
        let inputs = explainer.inputs().iter().map(|input| KnownInput::of(input, features));
        Ok(Some(Self { inputs: inputs.collect(), explainer, reasons }))
    }

    /// The table that reasons are from.
    pub(crate) fn table(&self) -> &Arc<ReasonTable> {
        self.reasons.table()
    }

    /// A customer, if what was fed to the tower gives the embedding that was ranked by.
    pub(crate) fn customer(
        &self,
        user_id: &UserId,
        fed: FedInputs,
        served: &Embedding,
    ) -> Result<ExplainableCustomer<'_>, Unexplained> {
        let record = self.record(user_id, fed.inputs).map_err(|invalid| {
            warn!(%invalid, "the feature store told inputs that are none of the model's");
            Unexplained::InputsUnavailable
        })?;
        match self.explainer.reads_as(&record, served) {
            Ok(true) => {}
            Ok(false) => return Err(Unexplained::InputsChanged),
            Err(error) => {
                warn!(%error, "the tower could not be run on what the feature store told");
                return Err(Unexplained::InputsUnavailable);
            }
        }
        Ok(ExplainableCustomer { model: self, record, telling: self.telling(&fed.declared) })
    }

    fn record(&self, user_id: &UserId, inputs: TowerInputs) -> Result<UserRecord, InvalidField> {
        let features = match self.explainer.feature_set() {
            Some(set) if inputs.features.len() == set.features.len() => {
                set.row(inputs.features.into_iter().map(wire::attribute))
            }
            None if inputs.features.is_empty() => FeatureRow::default(),
            _ => {
                let reason = format!("has {} values, not as many as the model reads", inputs.features.len());
                return Err(InvalidField::new("features", reason));
            }
        };
        Ok(UserRecord {
            user_id: user_id.clone(),
            attributes: wire::attributes(inputs.attributes)?,
            held: inputs.held_product_ids.into_iter().map(ProductId::parse).collect::<Result<_, _>>()?,
            features,
        })
    }

    /// What the feature store says of each input. Of what it does not mention nothing is told.
    fn telling(&self, declared: &[TowerInput]) -> Vec<Telling> {
        let declared: HashMap<&str, &TowerInput> =
            declared.iter().map(|input| (input.name.as_str(), input)).collect();
        let telling = |input: &KnownInput| {
            let said = declared.get(input.name.as_str());
            Telling {
                protected: input.protected || said.is_none_or(|said| said.protected),
                denied: said.is_none_or(|said| said.denied),
            }
        };
        self.inputs.iter().map(telling).collect()
    }
}

impl KnownInput {
    fn of(input: &InputName, features: Option<&Arc<FeatureSet>>) -> Self {
        let name = match input {
            InputName::Held(_) => InputName::HELD.to_owned(),
            InputName::Attribute(_) | InputName::Feature(_) => input.to_string(),
        };
        let protected = match (input, features) {
            (InputName::Feature(feature), Some(set)) => {
                set.features.iter().any(|known| known.feature == *feature && known.protected)
            }
            _ => false,
        };
        Self { name, protected }
    }
}

impl ExplainableCustomer<'_> {
    /// What inputs gave to the logit of each of these products.
    pub(crate) fn explain(&self, products: &[Embedding]) -> Result<Vec<Attribution>, Unexplained> {
        self.model.explainer.explain(&self.record, products).map_err(|error| {
            warn!(%error, "a score could not be explained");
            Unexplained::ModelNotExplainable
        })
    }

    /// What speaks most on one side, of what may be told to a customer.
    pub(crate) fn principal(&self, attribution: &Attribution, side: Side) -> Vec<Principal<'_>> {
        let untold = |input: usize| self.telling[input].protected || self.telling[input].denied;
        self.model.reasons.principal(&attribution.contributions, side, untold)
    }

    /// Everything that gave, for an auditor. Products that are not held, which may be thousands, are one.
    pub(crate) fn contributions(&self, attribution: &Attribution) -> Contributions {
        let mut all = Contributions {
            told: Vec::new(),
            withheld: 0.0,
            withheld_count: 0,
            sum: attribution.contributions.iter().sum(),
        };
        let mut not_held: Option<Contribution> = None;
        for (place, (input, &contribution)) in
            self.model.explainer.inputs().iter().zip(&attribution.contributions).enumerate()
        {
            let Telling { protected, denied } = self.telling[place];
            let reason = self.model.reasons.of(place);
            let protected = protected || reason.protected;
            if denied {
                all.withheld += contribution;
                all.withheld_count += 1;
                continue;
            }
            let told =
                |input: String| Contribution { input, contribution, reason: reason.code.clone(), protected };
            match input {
                InputName::Held(product) if !self.record.held.contains(product) => match &mut not_held {
                    Some(not_held) => not_held.contribution += contribution,
                    None => not_held = Some(told("not held".to_owned())),
                },
                input => all.told.push(told(input.to_string())),
            }
        }
        all.told.extend(not_held);
        // Stable, so that equals stay in the order of the model's inputs.
        all.told.sort_by(|one, other| other.contribution.abs().total_cmp(&one.contribution.abs()));
        all
    }
}
