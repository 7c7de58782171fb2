//! What a scan of `spans` puts out: columns of the table, and single attributes, which are read by themselves.

use std::fmt;

use datafusion::arrow::datatypes::Field;
use siltstone_ask::{Filter, Target};
use siltstone_format::block::parts::Parts;

use super::schema::{ATTRIBUTE_TEXT, Holder, SpanColumn};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Output {
    Column(SpanColumn),
    /// The text of one attribute, as `span_attributes['k']` gives it.
    Attribute {
        holder: Holder,
        key: String,
    },
}

impl Output {
    pub(super) fn field(&self) -> Field {
        match self {
            Self::Column(column) => column.field(),
            Self::Attribute { .. } => Field::new(self.to_string(), ATTRIBUTE_TEXT, true),
        }
    }

    pub(super) fn parts(&self) -> Parts {
        match self {
            Self::Column(column) => column.parts(),
            Self::Attribute { holder, key } => {
                Filter::exists(Target::attribute(holder.level(), key.as_str())).parts()
            }
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(column) => f.write_str(column.name()),
            Self::Attribute { holder, key } => {
                write!(f, "{}[{key}]", SpanColumn::Attributes(*holder).name())
            }
        }
    }
}
