//! What is true of spans: an oracle that sees each span as it was sent, and knows nothing of filters or blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::origin::{Origin, SERVICE_NAME};
use siltstone_format::span::Span;
use siltstone_format::value::{Attribute, Value};

pub(crate) const HOUR: u64 = 3_600_000_000_000;
pub(crate) const DAY: u64 = 24 * HOUR;
/// A day begins then.
pub(crate) const START: u64 = 20_000 * DAY;

/// Whatever keeps something keeps it at most so long.
pub(crate) const FOREVER: u64 = u64::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) number: u64,
    pub(crate) trace: u64,
    pub(crate) start: u64,
    pub(crate) failed: bool,
    pub(crate) paid: bool,
    pub(crate) slow: bool,
    pub(crate) committed: u64,
}

impl Sent {
    pub(crate) fn span(&self) -> Span {
        let service = if self.paid { "payment" } else { "shop" };
        let named = Attribute { key: SERVICE_NAME.to_owned(), value: Value::Str(service.to_owned()) };
        Span {
            trace_id: trace_id(self.trace),
            span_id: SpanId((self.number + 1).to_be_bytes()),
            name: self.number.to_string(),
            start_unix_nano: self.start,
            end_unix_nano: self.start + if self.slow { 2_000_000_000 } else { 1_000 },
            status_code: if self.failed { 2 } else { 0 },
            origin: Arc::new(Origin { resource_attributes: vec![named], ..Origin::default() }),
            ..Span::default()
        }
    }

    pub(crate) fn day(&self) -> u64 {
        self.start / DAY
    }
}

pub(crate) fn trace_id(trace: u64) -> TraceId {
    TraceId((u128::from(trace) * 0x9e37_79b9_7f4a_7c15 + 1).to_be_bytes())
}

/// Hours that rules keep traces, by what of them there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keeps {
    pub(crate) all: u64,
    pub(crate) failed: u64,
    pub(crate) paid: u64,
    pub(crate) slow: u64,
    pub(crate) archived: Option<u64>,
}

impl Keeps {
    pub(crate) fn text(&self) -> String {
        let mut text = format!("keep {}h", self.all);
        for (hours, filter) in [
            (self.failed, "status = error"),
            (self.paid, "service_name = \"payment\""),
            (self.slow, "duration >= 1s"),
        ] {
            if hours > self.all {
                text.push_str(&format!("; keep {hours}h where {filter}"));
            }
        }
        if let Some(hours) = self.archived {
            text.push_str(&format!("; keep {hours}h where archived"));
        }
        text
    }

    /// The longest that one of the spans says.
    pub(crate) fn of<'s>(&self, spans: impl Iterator<Item = &'s Sent>) -> u64 {
        let of_span = |span: &Sent| {
            let of = |is: bool, hours: u64| if is { hours } else { 0 };
            of(span.failed, self.failed).max(of(span.paid, self.paid)).max(of(span.slow, self.slow))
        };
        spans.map(of_span).max().unwrap_or(0).max(self.all)
    }

    pub(crate) fn of_archived(&self) -> u64 {
        self.archived.unwrap_or(FOREVER)
    }
}

/// All that happened.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) sent: BTreeMap<u64, Vec<Sent>>,
    pub(super) archived: BTreeMap<u64, u64>,
    pub(super) deleted: BTreeSet<u64>,
    /// All rules that ever held.
    pub(super) keeps: Vec<Keeps>,
}

/// Time within which compactors decide and give up what is due.
pub(super) const SLACK: u64 = DAY + 12 * HOUR;
/// Time after which a late span was decided for sure.
const DECIDED_AFTER: u64 = 14 * HOUR;

/// Hours after which a day is over.
pub(crate) const DAY_SLACK: u64 = 2;

pub(crate) fn first_day(spans: &[Sent]) -> u64 {
    spans.iter().map(Sent::day).min().unwrap_or(0)
}

/// So many hours after the end of a day.
pub(crate) fn until(day: u64, hours: u64) -> u64 {
    ((day + 1) * DAY).saturating_add(hours.saturating_mul(HOUR))
}

impl Truth {
    pub(super) fn add(&mut self, sent: Sent) {
        self.sent.entry(sent.trace).or_default().push(sent);
    }

    /// What is wrong, if these are the numbers of the spans that are there.
    pub(super) fn violation(&self, there: &BTreeSet<u64>, now: u64) -> Option<String> {
        for (trace, spans) in &self.sent {
            for span in spans {
                let is_there = there.contains(&span.number);
                if self.deleted.contains(trace) {
                    if is_there {
                        return Some(format!("a span of a deleted trace is there: {span:?}"));
                    }
                    continue;
                }
                let least = self.kept_at_least(span, spans);
                if !is_there && now < least {
                    return Some(format!("a span is gone that is kept until {least}: {span:?} of {spans:?}"));
                }
                let most = self.keeps.iter().map(|keeps| self.kept_at_most(span, spans, keeps)).max();
                if is_there && most.is_some_and(|until| now > until) {
                    return Some(format!(
                        "a span is there that was kept until {most:?}: {span:?} of {spans:?}"
                    ));
                }
            }
        }
        None
    }

    /// Before this time a span must be there.
    fn kept_at_least(&self, span: &Sent, spans: &[Sent]) -> u64 {
        // Its own part and the others may be decided by different rules.
        let own = |keeps: &Keeps| until(first_day(spans), keeps.of([*span].iter()));
        let own = self.keeps.iter().map(own).min().unwrap_or(FOREVER);
        let all = self.keeps.iter().map(|keeps| self.kept_with_others(keeps, span, spans)).min();
        let kept = own.max(all.unwrap_or(FOREVER));
        match self.archived.get(&span.trace) {
            Some(at) if *at < kept || *at <= span.committed => {
                let hours = self.keeps.iter().map(Keeps::of_archived).min().unwrap_or(FOREVER);
                kept.max(until(first_day(spans), hours))
            }
            _ => kept,
        }
    }

    /// By some of the rules, unless it is archived, by what the trace says. Where that is spread over many days, only what
    /// the span itself says is sure.
    fn kept_with_others(&self, keeps: &Keeps, span: &Sent, spans: &[Sent]) -> u64 {
        let day = first_day(spans);
        let near = move || spans.iter().filter(move |other| other.day() <= day + 1);
        if span.day() > day + 1 {
            return 0;
        }
        // No day of it is decided before.
        let decided = until(day, keeps.all);
        let early = until(day, keeps.of(near().filter(|other| other.committed < decided)));
        // What comes while the rest is there counts for all of it.
        let late = near().filter(|late| {
            let due = late.committed.max(until(late.day(), keeps.all.max(DAY_SLACK)));
            self.keeps.len() == 1 && due + DECIDED_AFTER < early
        });
        early.max(until(day, keeps.of(late)))
    }

    /// After this time it must have gone.
    fn kept_at_most(&self, span: &Sent, spans: &[Sent], keeps: &Keeps) -> u64 {
        let archived = self.archived.contains_key(&span.trace);
        let hours = keeps.of(spans.iter()).max(if archived { keeps.of_archived() } else { 0 });
        until(span.day(), hours).max(span.committed).saturating_add(SLACK)
    }
}
