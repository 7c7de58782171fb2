//! Errors on their way through DataFusion and back.

use datafusion::error::DataFusionError;
use siltstone_ask::closest;

use super::session::TABLES;
use crate::metrics::Outcome;
use crate::querier::QueryError;

/// Why a statement has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The statement is wrong: its message says where.
    #[error("{0}")]
    Statement(String),
    #[error(
        "the statement has {operators} operators and keywords, and at most {most} are possible: write long lists of \
         alternatives as `IN (…)`"
    )]
    TooDeep { operators: usize, most: usize },
    #[error(
        "{what}: statements may only read. There are the tables `{}`; `SHOW TABLES` and `DESCRIBE spans` tell more",
        TABLES.join("`, `")
    )]
    NotReading { what: String },
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A defect of ours, or a disk that is full.
    #[error("the query failed: {0}")]
    Failed(String),
}

pub(super) fn to_datafusion(error: QueryError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl SqlError {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Statement(_) | Self::TooDeep { .. } | Self::NotReading { .. } => Outcome::Refused,
            Self::Query(error) => error.outcome(),
            Self::Failed(_) => Outcome::Failed,
        }
    }

    pub(super) fn not_reading(error: DataFusionError) -> Self {
        Self::NotReading { what: text_of(&error) }
    }

    /// What an error is about, whatever DataFusion has wrapped around it.
    pub(super) fn of(error: DataFusionError) -> Self {
        let text = text_of(&error);
        match unwrapped(error) {
            DataFusionError::External(source) => match source.downcast::<QueryError>() {
                Ok(error) => Self::Query(*error),
                Err(other) => Self::Failed(other.to_string()),
            },
            DataFusionError::ResourcesExhausted(what) => Self::Query(QueryError::Memory(what)),
            DataFusionError::Plan(_) => Self::Statement(without_table(&text).unwrap_or(text)),
            DataFusionError::SQL(..)
            | DataFusionError::SchemaError(..)
            | DataFusionError::NotImplemented(_)
            | DataFusionError::ArrowError(..)
            | DataFusionError::Execution(_) => Self::Statement(text),
            _ => Self::Failed(text),
        }
    }
}

/// What to say of a table that there is not.
fn without_table(text: &str) -> Option<String> {
    let name = text.strip_prefix("table '")?.strip_suffix("' not found")?;
    let name = name.rsplit('.').next().unwrap_or(name);
    let guess = closest(name, TABLES.into_iter())
        .map_or_else(|| ".".to_owned(), |table| format!(": did you mean `{table}`?"));
    Some(format!("there is no table `{name}`{guess} There are `{}`", TABLES.join("`, `")))
}

/// The message alone, without the names of the engine's own kinds of errors.
fn text_of(error: &DataFusionError) -> String {
    let message = error.find_root().message();
    message.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or_default().to_owned()
}

fn unwrapped(error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => unwrapped(*inner),
        DataFusionError::Shared(inner) => match std::sync::Arc::try_unwrap(inner) {
            Ok(inner) => unwrapped(inner),
            Err(shared) => DataFusionError::Execution(shared.to_string()),
        },
        other => other,
    }
}
