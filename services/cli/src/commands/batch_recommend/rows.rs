//! The rows of a file, as text or in typed columns.

use std::{io::Write, sync::Arc};

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use finrank_contracts::ranking::v1::{RecommendResponse, Recommendation, batch_recommend_response::Outcome};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use serde::Serialize;

use crate::{
    commands::{
        features::moment,
        recommend::{basis_name, class_name, degradation_name},
    },
    output::FileFormat,
};

/// Rows that are put into columns at a time.
const BATCH: usize = 10_000;
/// Why a customer who was decided for gets nothing.
const NOTHING_ELIGIBLE: &str = "NOTHING_ELIGIBLE";

/// A product for a customer, or that there is none. What does not apply is empty.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Row {
    user_id: String,
    rank: Option<u32>,
    product_id: Option<String>,
    product_class: Option<String>,
    score: Option<f64>,
    retrieval_score: Option<f64>,
    ranking_basis: Option<String>,
    /// By what else than the customer's embedding, and why.
    degradation: Option<String>,
    decision_id: Option<String>,
    decided_at: Option<String>,
    model_version: Option<String>,
    policy_version: Option<String>,
    /// A stable reason such as `USER_NOT_FOUND`.
    refusal: Option<String>,
}

impl Row {
    /// The rows of one customer, at least one.
    pub(super) fn of(outcome: Outcome) -> Vec<Self> {
        match outcome {
            Outcome::Recommendation(answer) => Self::of_answer(&answer),
            Outcome::Refusal(refusal) => {
                let reason = if refusal.reason.is_empty() { refusal.message } else { refusal.reason };
                vec![Self { user_id: refusal.user_id, refusal: Some(reason), ..Self::default() }]
            }
        }
    }

    fn of_answer(answer: &RecommendResponse) -> Vec<Self> {
        let decided = || Self {
            user_id: answer.user_id.clone(),
            ranking_basis: Some(basis_name(answer.ranking_basis())),
            degradation: answer.degradation.as_ref().map(degradation_name),
            decision_id: Some(answer.decision_id.clone()),
            decided_at: answer.decided_at.as_ref().map(moment),
            model_version: answer.versions.as_ref().map(|versions| versions.model_version.clone()),
            policy_version: answer.policy.as_ref().map(|policy| policy.version.clone()),
            ..Self::default()
        };
        if answer.items.is_empty() {
            return vec![Self { refusal: Some(NOTHING_ELIGIBLE.to_owned()), ..decided() }];
        }
        let row = |item: &Recommendation| Self {
            rank: Some(item.rank),
            product_class: Some(class_name(item.product_class())),
            product_id: Some(item.product_id.clone()),
            score: Some(item.score),
            retrieval_score: Some(item.retrieval_score),
            ..decided()
        };
        answer.items.iter().map(row).collect()
    }
}

/// A file in the making.
pub(super) enum Rows<W: Write + Send> {
    // Boxed, both being large.
    Csv(Box<csv::Writer<W>>),
    Parquet(Box<Columns<W>>),
}

/// Rows that wait to be put into columns, and where the columns go.
pub(super) struct Columns<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: SchemaRef,
    rows: Vec<Row>,
}

impl<W: Write + Send> Rows<W> {
    pub(super) fn new(form: FileFormat, to: W) -> anyhow::Result<Self> {
        Ok(match form {
            FileFormat::Csv => Self::Csv(Box::new(csv::Writer::from_writer(to))),
            FileFormat::Parquet => Self::Parquet(Box::new(Columns::new(to)?)),
        })
    }

    pub(super) fn write(&mut self, row: Row) -> anyhow::Result<()> {
        match self {
            Self::Csv(writer) => Ok(writer.serialize(row)?),
            Self::Parquet(columns) => columns.write(row),
        }
    }

    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Csv(mut writer) => Ok(writer.flush()?),
            Self::Parquet(columns) => columns.finish(),
        }
    }
}

impl<W: Write + Send> Columns<W> {
    fn new(to: W) -> anyhow::Result<Self> {
        let text = |name| Field::new(name, DataType::Utf8, true);
        let schema = Arc::new(Schema::new(vec![
            Field::new("user_id", DataType::Utf8, false),
            Field::new("rank", DataType::UInt32, true),
            text("product_id"),
            text("product_class"),
            Field::new("score", DataType::Float64, true),
            Field::new("retrieval_score", DataType::Float64, true),
            text("ranking_basis"),
            text("degradation"),
            text("decision_id"),
            text("decided_at"),
            text("model_version"),
            text("policy_version"),
            text("refusal"),
        ]));
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = ArrowWriter::try_new(to, Arc::clone(&schema), Some(properties))?;
        Ok(Self { writer, schema, rows: Vec::new() })
    }

    fn write(&mut self, row: Row) -> anyhow::Result<()> {
        self.rows.push(row);
        if self.rows.len() == BATCH { self.put() } else { Ok(()) }
    }

    fn put(&mut self) -> anyhow::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let texts = |of: fn(&Row) -> Option<&str>| -> ArrayRef {
            Arc::new(rows.iter().map(of).collect::<StringArray>())
        };
        let numbers = |of: fn(&Row) -> Option<f64>| -> ArrayRef {
            Arc::new(rows.iter().map(of).collect::<Float64Array>())
        };
        let columns = vec![
            texts(|row| Some(&row.user_id)),
            Arc::new(rows.iter().map(|row| row.rank).collect::<UInt32Array>()),
            texts(|row| row.product_id.as_deref()),
            texts(|row| row.product_class.as_deref()),
            numbers(|row| row.score),
            numbers(|row| row.retrieval_score),
            texts(|row| row.ranking_basis.as_deref()),
            texts(|row| row.degradation.as_deref()),
            texts(|row| row.decision_id.as_deref()),
            texts(|row| row.decided_at.as_deref()),
            texts(|row| row.model_version.as_deref()),
            texts(|row| row.policy_version.as_deref()),
            texts(|row| row.refusal.as_deref()),
        ];
        Ok(self.writer.write(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?)?)
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.put()?;
        Ok(self.writer.into_inner()?.flush()?)
    }
}
