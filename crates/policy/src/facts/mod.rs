//! What is known of a customer at the moment of a decision. Whatever is missing, too old, undated, from the future or of
//! another type than the policy says is unknown, and rules take the unknown as the strictest case.

mod value;

use std::time::Duration;

use chrono::{DateTime, Utc};
use finrank_model::features::{FeatureRef, duration_in_words};

pub use value::{FactType, FactValue, Finite, GivenValue};

use crate::{Currency, Policy};

/// Which of a policy's facts: its place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactId(pub(crate) usize);

/// A fact about customers that a policy's rules look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// By which rules name it.
    pub name: String,
    /// The feature that holds it.
    pub feature: FeatureRef,
    /// What it must be.
    pub fact_type: FactType,
    /// How old it may be; absent where age does not matter.
    pub max_age: Option<Duration>,
    /// The fact, a moment, since when this one is true; absent where that is the feature's own event time.
    pub dated_by: Option<FactId>,
}

/// What the source of facts says of one feature.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// This, true since a moment.
    Present(GivenValue, Option<DateTime<Utc>>),
    /// The customer is known, this of them is not.
    NotStated,
    /// Nothing is known of the customer.
    NotFound,
    /// It is older than the source allows; the value if it came along.
    Expired(Option<GivenValue>, Option<DateTime<Utc>>),
    /// The source may not tell it for this purpose.
    Denied,
}

/// Why a fact cannot be relied on.
#[derive(Clone, Debug, PartialEq)]
pub enum Unknown {
    /// The source does not serve the feature.
    NotServed,
    /// The customer never stated it.
    NotStated,
    /// Nothing is known of the customer.
    NotFound,
    /// It may not be used for this purpose.
    Denied,
    /// It is too old.
    Expired,
    /// It must not be too old, and nobody knows how old it is.
    Undated,
    /// It is to become true only later.
    InTheFuture,
    /// It is not what the policy says; the words tell what it is.
    WrongType(String),
}

/// A fact about one customer.
#[derive(Clone, Debug, PartialEq)]
pub struct FactState {
    /// The value, or why there is none.
    pub value: Result<FactValue, Unknown>,
    /// What was served, reliable or not.
    pub served: Option<GivenValue>,
    /// Since when it is true.
    pub dated: Option<DateTime<Utc>>,
}

/// All facts of a policy about one customer, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts(Vec<FactState>);

impl Facts {
    /// Takes what the source says, and keeps what can be relied on at a moment.
    pub fn at(
        policy: &Policy,
        moment: DateTime<Utc>,
        mut given: impl FnMut(&FeatureRef) -> Option<Given>,
    ) -> Self {
        let mut states: Vec<FactState> =
            policy.facts().iter().map(|fact| FactState::read(fact, given(&fact.feature))).collect();
        let dates: Vec<Option<Result<DateTime<Utc>, Unknown>>> =
            policy.facts().iter().map(|fact| fact.dated_by.map(|by| states[by.0].moment())).collect();
        for ((fact, state), date) in policy.facts().iter().zip(&mut states).zip(dates) {
            state.date(fact, date.as_ref(), moment);
        }
        Self(states)
    }

    /// One of them.
    pub fn get(&self, id: FactId) -> &FactState {
        &self.0[id.0]
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &FactState> {
        self.0.iter()
    }

    pub(crate) fn number(&self, id: FactId) -> Result<Finite, &Unknown> {
        match &self.get(id).value {
            Ok(FactValue::Number(number)) => Ok(*number),
            other => Err(unknown(other)),
        }
    }

    pub(crate) fn text(&self, id: FactId) -> Result<&str, &Unknown> {
        match &self.get(id).value {
            Ok(FactValue::Text(text)) => Ok(text),
            other => Err(unknown(other)),
        }
    }

    pub(crate) fn flag(&self, id: FactId) -> Result<bool, &Unknown> {
        match &self.get(id).value {
            Ok(FactValue::Flag(flag)) => Ok(*flag),
            other => Err(unknown(other)),
        }
    }

    pub(crate) fn money(&self, id: FactId) -> Result<(&Currency, i64), &Unknown> {
        match &self.get(id).value {
            Ok(FactValue::Money(currency, minor)) => Ok((currency, *minor)),
            other => Err(unknown(other)),
        }
    }
}

/// A policy's facts have the types that its rules need, so that a known value of another one does not occur; if it
/// did, it would be as good as none.
fn unknown(value: &Result<FactValue, Unknown>) -> &Unknown {
    value.as_ref().err().unwrap_or(&Unknown::NotServed)
}

impl FactState {
    fn read(fact: &Fact, given: Option<Given>) -> Self {
        let (value, served, dated) = match given {
            None => (Err(Unknown::NotServed), None, None),
            Some(Given::NotStated) => (Err(Unknown::NotStated), None, None),
            Some(Given::NotFound) => (Err(Unknown::NotFound), None, None),
            Some(Given::Denied) => (Err(Unknown::Denied), None, None),
            Some(Given::Expired(value, dated)) => (Err(Unknown::Expired), value, dated),
            Some(Given::Present(value, dated)) => {
                (fact.fact_type.read(&value).map_err(Unknown::WrongType), Some(value), dated)
            }
        };
        Self { value, served, dated }
    }

    /// Its value as a moment, for a fact that it dates.
    fn moment(&self) -> Result<DateTime<Utc>, Unknown> {
        match &self.value {
            Ok(FactValue::Time(moment)) => Ok(*moment),
            other => Err(unknown(other).clone()),
        }
    }

    fn date(&mut self, fact: &Fact, by: Option<&Result<DateTime<Utc>, Unknown>>, moment: DateTime<Utc>) {
        match by {
            Some(Ok(dated)) => self.dated = Some(*dated),
            Some(Err(_)) => self.dated = None,
            None => {}
        }
        if self.value.is_err() {
            return;
        }
        let doubt = match (self.dated, fact.max_age) {
            (Some(dated), _) if dated > moment => Some(Unknown::InTheFuture),
            (Some(dated), Some(max_age)) => {
                let too_old = (moment - dated).to_std().is_ok_and(|age| age > max_age);
                too_old.then_some(Unknown::Expired)
            }
            (None, Some(_)) => Some(Unknown::Undated),
            (None, None) if by.is_some() => Some(Unknown::Undated),
            (_, None) => None,
        };
        if let Some(doubt) = doubt {
            self.value = Err(doubt);
        }
    }
}

impl Unknown {
    /// What is wrong, to be read after the fact's name: "is not stated".
    pub fn of(&self, fact: &Fact) -> String {
        match self {
            Self::NotServed => "is not among what the feature store serves".to_owned(),
            Self::NotStated => "is not stated".to_owned(),
            Self::NotFound => "is not known, as nothing is of the customer".to_owned(),
            Self::Denied => "may not be used for this purpose".to_owned(),
            Self::Expired => match fact.max_age {
                Some(max_age) => format!("is older than {}", duration_in_words(max_age)),
                None => "is too old".to_owned(),
            },
            Self::Undated => "has no date, and must not be too old".to_owned(),
            Self::InTheFuture => "is true only later".to_owned(),
            Self::WrongType(what) => what.clone(),
        }
    }

    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotServed => "NOT_SERVED",
            Self::NotStated => "NOT_STATED",
            Self::NotFound => "NOT_FOUND",
            Self::Denied => "DENIED",
            Self::Expired => "EXPIRED",
            Self::Undated => "UNDATED",
            Self::InTheFuture => "IN_THE_FUTURE",
            Self::WrongType(_) => "WRONG_TYPE",
        }
    }
}
