//! Where two multisets of spans differ, told so that a person sees it at once.

use std::collections::BTreeMap;
use std::fmt;

use super::canonical::CanonicalSpan;

/// How many differences are printed.
const SHOWN: usize = 5;

/// What one side has more of than the other. Empty when both hold the same spans equally often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// A span of the left side with how many more of it there are than on the right.
    pub only_left: Vec<(CanonicalSpan, usize)>,
    pub only_right: Vec<(CanonicalSpan, usize)>,
}

/// Compares two lists of spans as multisets, in any order.
pub fn diff(left: &[CanonicalSpan], right: &[CanonicalSpan]) -> Difference {
    let mut balance: BTreeMap<&CanonicalSpan, (usize, usize)> = BTreeMap::new();
    for span in left {
        balance.entry(span).or_default().0 += 1;
    }
    for span in right {
        balance.entry(span).or_default().1 += 1;
    }
    let mut difference = Difference::default();
    for (span, (on_left, on_right)) in balance {
        if on_left > on_right {
            difference.only_left.push((span.clone(), on_left - on_right));
        } else if on_right > on_left {
            difference.only_right.push((span.clone(), on_right - on_left));
        }
    }
    difference
}

/// Fails the test that calls it, with the first differences, unless both hold the same spans equally often.
#[track_caller]
pub fn assert_same_spans(left: &[CanonicalSpan], right: &[CanonicalSpan]) {
    let difference = diff(left, right);
    assert!(difference.is_empty(), "{difference}");
}

impl Difference {
    pub fn is_empty(&self) -> bool {
        self.only_left.is_empty() && self.only_right.is_empty()
    }
}

impl fmt::Display for Difference {
    /// A span with a counterpart of the same ids on the other side is shown field by field, others whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "no difference");
        }
        writeln!(f, "{} spans only left, {} only right", self.only_left.len(), self.only_right.len())?;
        let mut unpaired: Vec<&(CanonicalSpan, usize)> = self.only_right.iter().collect();
        for (at, (span, times)) in self.only_left.iter().enumerate() {
            let paired = unpaired.iter().position(|(other, _)| have_same_ids(span, other));
            let counterpart = paired.map(|position| unpaired.remove(position));
            if at >= SHOWN {
                continue;
            }
            match counterpart {
                Some((other, _)) => fmt_pair(span, other, f)?,
                None => writeln!(f, "only left, {times} times: {span:#?}")?,
            }
        }
        for (span, times) in unpaired.into_iter().take(SHOWN) {
            writeln!(f, "only right, {times} times: {span:#?}")?;
        }
        Ok(())
    }
}

fn have_same_ids(left: &CanonicalSpan, right: &CanonicalSpan) -> bool {
    left.trace_id == right.trace_id && left.span_id == right.span_id
}

fn fmt_pair(left: &CanonicalSpan, right: &CanonicalSpan, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "span {:?} of trace {:?} differs:", left.span_id, left.trace_id)?;
    let mut same_content = true;
    for ((field, on_left), (_, on_right)) in printed_fields(left).into_iter().zip(printed_fields(right)) {
        if on_left != on_right {
            same_content = false;
            writeln!(f, "  {field}\n    left:  {on_left}\n    right: {on_right}")?;
        }
    }
    if same_content {
        writeln!(f, "  in a part that is too long to be printed, or only in how often it is there")?;
    }
    Ok(())
}

fn printed_fields(span: &CanonicalSpan) -> Vec<(&'static str, String)> {
    // Taken apart without `..`, so that a new field cannot be forgotten here.
    let CanonicalSpan {
        trace_id,
        start_unix_nanos,
        span_id,
        parent_id,
        name,
        kind,
        end_unix_nanos,
        trace_state,
        flags,
        status_code,
        status_message,
        attributes,
        dropped_attributes,
        events,
        dropped_events,
        links,
        dropped_links,
        origin,
    } = span;
    vec![
        ("trace id", format!("{trace_id:?}")),
        ("start", start_unix_nanos.to_string()),
        ("span id", format!("{span_id:?}")),
        ("parent id", format!("{parent_id:?}")),
        ("name", format!("{name:?}")),
        ("kind", kind.to_string()),
        ("end", end_unix_nanos.to_string()),
        ("trace state", format!("{trace_state:?}")),
        ("flags", flags.to_string()),
        ("status code", status_code.to_string()),
        ("status message", format!("{status_message:?}")),
        ("attributes", format!("{attributes:?}")),
        ("dropped attributes", dropped_attributes.to_string()),
        ("events", format!("{events:?}")),
        ("dropped events", dropped_events.to_string()),
        ("links", format!("{links:?}")),
        ("dropped links", dropped_links.to_string()),
        ("origin", format!("{origin:?}")),
    ]
}
