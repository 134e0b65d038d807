//! The proof of a verdict: which policy said so, by which rules and from what, under one digest.
//!
//! Every digest is a SHA-256 over pieces, each written as its length (8 bytes, little-endian) and its bytes; a list is
//! its length (likewise) and its elements. So no two different contents are written alike. Times are written as
//! RFC 3339 in UTC with nanoseconds, and what is absent as an empty piece.
//!
//! Inputs stand in the proof as digests alone, made with the decision's id, so that neither who reads a log learns what
//! a customer earns, nor are equal values of two decisions seen to be equal. Who holds the value can check it.

use chrono::{DateTime, SecondsFormat, Utc};
use finrank_model::{AttributeValue, Parts, Sha256Digest};

use crate::{Case, Fact, FactState, GivenValue, Offered, Policy, Verdict, verdict::RuleResult};

/// What an item was offered on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The codes of the rules that concerned the product, in the order of the policy.
    pub rules: Vec<String>,
    /// What they looked at.
    pub inputs: Vec<ProofInput>,
    /// The digest over all of it.
    pub sha256: Sha256Digest,
}

/// Something that rules looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofInput {
    /// The fact's name, `holdings` or `product`.
    pub name: String,
    /// Since when it is true, if that is known.
    pub dated: Option<DateTime<Utc>>,
    /// The digest of decision id, name, value and date.
    pub sha256: Sha256Digest,
}

impl Proof {
    /// Of a verdict on a case, made under a decision's id for a customer.
    pub fn of(case: &Case<'_>, verdict: &Verdict, user_id: &str, decision_id: &str) -> Self {
        let policy = case.policy;
        let applied = verdict.findings.iter().filter(|finding| finding.result != RuleResult::NotApplicable);
        let rules = applied.map(|finding| policy.rules()[finding.rule].code.to_string()).collect();
        let inputs = inputs(case, verdict, decision_id);
        let sha256 = overall(case, verdict, user_id, decision_id, &inputs);
        Self { rules, inputs, sha256 }
    }
}

fn inputs(case: &Case<'_>, verdict: &Verdict, decision_id: &str) -> Vec<ProofInput> {
    let policy = case.policy;
    let facts = policy.facts_of(&verdict.findings);
    let mut inputs: Vec<ProofInput> =
        facts.into_iter().map(|id| fact_input(policy.fact(id), case.facts.get(id), decision_id)).collect();
    let looks_at_holdings = |rule: usize| policy.rules()[rule].looks_at_holdings();
    if verdict
        .findings
        .iter()
        .any(|finding| finding.result != RuleResult::NotApplicable && looks_at_holdings(finding.rule))
    {
        let mut held: Vec<&str> = case.holdings.iter().map(|holding| holding.product_id.as_str()).collect();
        held.sort_unstable();
        let mut written = Written::input(decision_id, "holdings");
        written.list(held.len());
        held.into_iter().for_each(|product_id| written.piece(product_id.as_bytes()));
        inputs.push(ProofInput { name: "holdings".to_owned(), dated: None, sha256: written.digest() });
    }
    inputs.push(product_input(&case.product, decision_id));
    inputs
}

fn fact_input(fact: &Fact, state: &FactState, decision_id: &str) -> ProofInput {
    let mut written = Written::input(decision_id, &fact.name);
    written.text(&fact.feature.to_string());
    written.text(match &state.value {
        Ok(_) => "KNOWN",
        Err(unknown) => unknown.code(),
    });
    match &state.served {
        Some(value) => written.value(value),
        None => written.text(""),
    }
    written.time(state.dated);
    ProofInput { name: fact.name.clone(), dated: state.dated, sha256: written.digest() }
}

fn product_input(product: &Offered<'_>, decision_id: &str) -> ProofInput {
    let mut written = Written::input(decision_id, "product");
    written.text(product.product_id.as_str());
    written.text(product.product_class.as_str());
    written.text(product.status.as_str());
    written.text(&product.risk_grade.map(|grade| grade.get().to_string()).unwrap_or_default());
    written.list(product.attributes.iter().count());
    for (name, value) in product.attributes.iter() {
        written.text(name.as_str());
        match value {
            AttributeValue::Number(number) => written.value(&GivenValue::Number(*number)),
            AttributeValue::Text(text) => written.value(&GivenValue::Text(text.clone())),
            AttributeValue::Flag(flag) => written.value(&GivenValue::Flag(*flag)),
        }
    }
    ProofInput { name: "product".to_owned(), dated: None, sha256: written.digest() }
}

fn overall(
    case: &Case<'_>,
    verdict: &Verdict,
    user_id: &str,
    decision_id: &str,
    inputs: &[ProofInput],
) -> Sha256Digest {
    let policy: &Policy = case.policy;
    let mut written = Written::new("finrank.policy.proof.v1");
    written.text(decision_id);
    written.text(user_id);
    written.text(case.product.product_id.as_str());
    written.time(Some(case.moment));
    written.text(policy.version().as_str());
    written.text(&policy.digest().to_string());
    written.text(verdict.outcome.as_str());
    written.list(verdict.findings.len());
    for finding in &verdict.findings {
        written.text(policy.rules()[finding.rule].code.as_str());
        written.text(finding.result.code());
    }
    written.list(inputs.len());
    for input in inputs {
        written.text(&input.name);
        written.time(input.dated);
        written.text(&input.sha256.to_string());
    }
    written.digest()
}

/// What is hashed, in the canonical encoding.
struct Written(Parts);

impl Written {
    fn new(what: &str) -> Self {
        Self(Parts::of(what))
    }

    fn input(decision_id: &str, name: &str) -> Self {
        let mut written = Self::new("finrank.policy.input.v1");
        written.text(decision_id);
        written.text(name);
        written
    }

    fn piece(&mut self, bytes: &[u8]) {
        self.0.part(bytes);
    }

    fn list(&mut self, length: usize) {
        self.0.count(length);
    }

    fn text(&mut self, text: &str) {
        self.piece(text.as_bytes());
    }

    fn time(&mut self, time: Option<DateTime<Utc>>) {
        let time = time.map(|time| time.to_rfc3339_opts(SecondsFormat::Nanos, true));
        self.text(&time.unwrap_or_default());
    }

    /// Its kind, then the value; a number by its bits, so that none is rounded.
    fn value(&mut self, value: &GivenValue) {
        match value {
            GivenValue::Number(number) => {
                self.text("number");
                self.piece(&number.to_bits().to_le_bytes());
            }
            GivenValue::Text(text) => {
                self.text("text");
                self.text(text);
            }
            GivenValue::Flag(flag) => {
                self.text("flag");
                self.piece(&[u8::from(*flag)]);
            }
            GivenValue::Count(count) => {
                self.text("count");
                self.piece(&count.to_le_bytes());
            }
            GivenValue::Money(money) => {
                self.text("money");
                self.text(money.currency_code());
                self.piece(&money.minor_units().to_le_bytes());
            }
            GivenValue::Time(time) => {
                self.text("time");
                self.time(Some(*time));
            }
        }
    }

    fn digest(self) -> Sha256Digest {
        self.0.digest()
    }
}
