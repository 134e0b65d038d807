//! A policy's own tests: customers, products and moments with the verdicts that are expected, in a TOML file beside it.
//! docs/policy.md tells the keys.

use chrono::{DateTime, Utc};
use finrank_model::{
    AttributeValue, Attributes, InvalidField, InvalidFile, ProductClass, ProductId, ProductStatus, RiskGrade,
    parse_moment,
    toml_file::{Problems, Table},
};
use toml::Value;

use crate::{
    Facts, Given, GivenValue, Offered, Outcome, Policy, Verdict,
    rules::{Case, Holding},
};

/// A file of cases.
#[derive(Clone, Debug, PartialEq)]
pub struct Cases {
    /// The policy's file, as the file of cases names it: relative to itself.
    pub policy: String,
    /// In the order of the file.
    pub cases: Vec<ExpectedCase>,
}

/// One customer, one product, and what is expected.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedCase {
    /// What it shows.
    pub name: String,
    moment: DateTime<Utc>,
    facts: Vec<(String, GivenValue)>,
    dates: Vec<(String, DateTime<Utc>)>,
    held: Vec<ProductId>,
    product: CaseProduct,
    /// The outcome that is expected.
    pub outcome: Outcome,
    /// The codes of all rules that are expected to stand against the product.
    pub against: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct CaseProduct {
    product_id: ProductId,
    product_class: ProductClass,
    status: ProductStatus,
    risk_grade: Option<RiskGrade>,
    attributes: Attributes,
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct CaseReport {
    /// What the policy says.
    pub verdict: Verdict,
    /// How that differs from what is expected, a line each; empty if it does not.
    pub differences: Vec<String>,
}

impl Cases {
    /// Reads a file.
    ///
    /// # Errors
    /// Names everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidFile> {
        let file: toml::Table = toml::from_str(text)?;
        let mut problems = Problems::default();
        let mut file = Table::new(file, "", &mut problems);
        let policy = file.filled("policy");
        let cases: Vec<Option<ExpectedCase>> = file
            .tables("case")
            .into_iter()
            .enumerate()
            .map(|(place, table)| file.element("case", place, "name", table, expected_case))
            .collect();
        if cases.is_empty() {
            file.note("case", "is missing: there is nothing to test");
        }
        file.finish();
        let cases: Option<Vec<ExpectedCase>> = cases.into_iter().collect();
        problems.settle(policy.zip(cases).map(|(policy, cases)| Self { policy, cases }))
    }
}

impl ExpectedCase {
    /// Has a policy judge it.
    ///
    /// # Errors
    /// Names facts and rules of the case that the policy does not have.
    pub fn run(&self, policy: &Policy) -> Result<CaseReport, Vec<InvalidField>> {
        self.check(policy)?;
        let facts = Facts::at(policy, self.moment, |feature| {
            let fact = policy.facts().iter().find(|fact| fact.feature == *feature)?;
            let value = self.facts.iter().find(|(name, _)| *name == fact.name);
            let dated = self.dates.iter().find(|(name, _)| *name == fact.name);
            let dated = dated.map_or(self.moment, |(_, dated)| *dated);
            Some(value.map_or(Given::NotStated, |(_, value)| Given::Present(value.clone(), Some(dated))))
        });
        let product = self.product.offered();
        let holdings: Vec<Holding<'_>> = self
            .held
            .iter()
            .map(|product_id| Holding {
                product_id,
                product: (*product_id == self.product.product_id).then_some((0, product)),
            })
            .collect();
        let case = Case { policy, facts: &facts, holdings: &holdings, product, moment: self.moment };
        let verdict = policy.judge(&case);
        let differences = self.differences(policy, &verdict);
        Ok(CaseReport { verdict, differences })
    }

    fn check(&self, policy: &Policy) -> Result<(), Vec<InvalidField>> {
        let path = |key: &str| format!("case[{}].{key}", self.name);
        let known = |name: &String| policy.facts().iter().any(|fact| fact.name == *name);
        let rule = |code: &String| policy.rules().iter().any(|rule| rule.code.as_str() == code);
        let facts = self.facts.iter().map(|(name, _)| (path("customer"), name));
        let dates = self.dates.iter().map(|(name, _)| (path("dates"), name));
        let unknown = facts.chain(dates).filter(|(_, name)| !known(name)).map(|(path, name)| {
            InvalidField::new(path, format!("names {name:?}, which is no fact of the policy"))
        });
        let against = self.against.iter().filter(|code| !rule(code)).map(|code| {
            InvalidField::new(path("against"), format!("names {code:?}, which is no rule of the policy"))
        });
        let wrong: Vec<InvalidField> = unknown.chain(against).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn differences(&self, policy: &Policy, verdict: &Verdict) -> Vec<String> {
        let mut differences = Vec::new();
        if verdict.outcome != self.outcome {
            let (expected, found) = (self.outcome.as_str(), verdict.outcome.as_str());
            differences.push(format!("the verdict is {found}, not {expected}"));
        }
        let code = |rule: usize| policy.rules()[rule].code.as_str();
        for finding in verdict.against() {
            if !self.against.iter().any(|expected| expected == code(finding.rule)) {
                let reason = finding.result.reason();
                differences.push(format!("{} stands against it: {reason}", code(finding.rule)));
            }
        }
        for expected in &self.against {
            if !verdict.against().any(|finding| code(finding.rule) == expected) {
                differences.push(format!("{expected} does not stand against it"));
            }
        }
        differences
    }
}

impl CaseProduct {
    fn offered(&self) -> Offered<'_> {
        let Self { product_id, product_class, status, risk_grade, attributes } = self;
        Offered {
            product_id,
            product_class: *product_class,
            status: *status,
            risk_grade: *risk_grade,
            attributes,
        }
    }
}

fn expected_case(mut table: Table<'_>) -> Option<ExpectedCase> {
    let name = table.filled("name");
    let moment = table.parsed("moment", parse);
    let facts = table.optional_table("customer", |inner| inner.values(given));
    let dates = table
        .optional_table("dates", |inner| inner.values(|value| parse(value.as_str().ok_or("is not a text")?)));
    let held = table.optional_texts("holds").map(Option::unwrap_or_default);
    let held = held.and_then(|held| {
        let parsed: Result<Vec<_>, _> = held.iter().map(ProductId::parse).collect();
        parsed.map_err(|invalid| table.note("holds", invalid.reason)).ok()
    });
    let product = table.table("product", product);
    let outcomes = [Outcome::Eligible, Outcome::HumanReview, Outcome::Excluded];
    let outcome = table.parsed("expect", |raw| {
        let named = outcomes.into_iter().find(|outcome| outcome.as_str() == raw);
        named.ok_or_else(|| format!("is {raw:?}, not eligible, human_review or excluded"))
    });
    let against = table.optional_texts("against");
    table.finish();
    Some(ExpectedCase {
        name: name?,
        moment: moment?,
        facts: facts?.unwrap_or_default(),
        dates: dates?.unwrap_or_default(),
        held: held?,
        product: product?,
        outcome: outcome?,
        against: against?.unwrap_or_default(),
    })
}

fn parse(raw: &str) -> Result<DateTime<Utc>, String> {
    parse_moment("moment", raw).map_err(|invalid| invalid.reason)
}

fn given(value: &Value) -> Result<GivenValue, String> {
    match value {
        Value::String(text) => Ok(GivenValue::Text(text.clone())),
        Value::Integer(whole) => Ok(GivenValue::Number(*whole as f64)),
        Value::Float(number) if number.is_finite() => Ok(GivenValue::Number(*number)),
        Value::Boolean(flag) => Ok(GivenValue::Flag(*flag)),
        _ => Err("is not a finite number, a text, or true or false".to_owned()),
    }
}

fn product(mut table: Table<'_>) -> Option<CaseProduct> {
    let product_id = table.parsed("id", |raw| ProductId::parse(raw).map_err(|invalid| invalid.reason));
    let class = table.parsed("class", |raw| ProductClass::parse(raw).map_err(|invalid| invalid.reason));
    let statuses = [("active", ProductStatus::Active), ("withdrawn", ProductStatus::Withdrawn)];
    let status = table.choice("status", ProductStatus::Active, &statuses);
    let risk_grade = table.optional_whole("risk_grade").and_then(|grade| {
        let parsed =
            grade.map(|grade| u32::try_from(grade).ok().and_then(|grade| RiskGrade::new(grade).ok()));
        match parsed {
            None => Some(None),
            Some(Some(grade)) => Some(Some(grade)),
            Some(None) => {
                table.note("risk_grade", "is not 1 to 5");
                None
            }
        }
    });
    let attributes = table.optional_table("attributes", |inner| inner.values(attribute_value));
    let attributes = attributes.and_then(|attributes| {
        let checked = Attributes::new(attributes.unwrap_or_default());
        checked.map_err(|invalid| table.note(&invalid.field, invalid.reason)).ok()
    });
    table.finish();
    Some(CaseProduct {
        product_id: product_id?,
        product_class: class?,
        status: status?,
        risk_grade: risk_grade?,
        attributes: attributes?,
    })
}

fn attribute_value(value: &Value) -> Result<AttributeValue, String> {
    match value {
        Value::String(text) => Ok(AttributeValue::Text(text.clone())),
        Value::Integer(whole) => Ok(AttributeValue::Number(*whole as f64)),
        Value::Float(number) => Ok(AttributeValue::Number(*number)),
        Value::Boolean(flag) => Ok(AttributeValue::Flag(*flag)),
        _ => Err("is not a number, a text, or true or false".to_owned()),
    }
}
