//! Why a filter cannot be built. Every cause lies with who asks, none goes away by
//! asking again, and each message says what to change.

use crate::field::Field;
use crate::filter::{Comparison, MAX_DEPTH, MAX_NODES, MAX_PATTERNS, Nested};
use crate::pattern::MAX_PATTERN_BYTES;

/// The parts do not make a filter.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FilterError {
    #[error("the filter is nested more than {MAX_DEPTH} deep; flatten nested `and`, `or` and `not`")]
    TooDeep,
    #[error("`some {0}` stands within another `some` that it cannot be told apart from; ask for each alone")]
    NestedSome(Nested),
    #[error("within `some {of}` the key `{key}` has no level; name one")]
    SomeAtAnyLevel { of: Nested, key: String },
    #[error("the filter has more than {MAX_NODES} predicates and values; ask in several parts")]
    TooManyNodes,
    #[error("the filter has more than {MAX_PATTERNS} regular expressions; join some with `|`")]
    TooManyPatterns,
    #[error("a regular expression of {length} bytes is over the limit of {MAX_PATTERN_BYTES}")]
    PatternTooLong { length: usize },
    #[error(
        "the regular expression `{pattern}` needs too much memory; use smaller repetitions or `(?-u)` classes"
    )]
    PatternTooLarge { pattern: String },
    #[error("`{pattern}` is not a regular expression: {reason}")]
    Pattern { pattern: String, reason: String },
    #[error("`{what}` has no order, so `{comparison}` cannot be asked of it; use `=`, `!=` or `in`")]
    Unorderable { what: String, comparison: Comparison },
    #[error("`{literal}` is not a number, which `{field}` is compared with")]
    NotANumber { field: Field, literal: String },
    #[error("`{literal}` is not hex text, which `{field}` is compared with")]
    NotHexText { field: Field, literal: String },
    #[error("`{literal}` is neither `true` nor `false`, which `{field}` is compared with")]
    NotABool { field: Field, literal: String },
    #[error("there is no {field} `{literal}`; it is a number or one of: {names}")]
    UnknownName { field: Field, literal: String, names: String },
}
