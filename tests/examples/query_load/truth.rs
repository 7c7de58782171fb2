//! What is counted while spans are made, so that a fast wrong answer shows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};
use siltstone_ask::Window;
use siltstone_format::id::TraceId;
use siltstone_format::span::Span;
use siltstone_format::value::Value;

use crate::Failure;

pub(crate) const USER: &str = "enduser.id";
pub(crate) const STATUS: &str = "http.response.status_code";
pub(crate) const FAILED: i64 = 500;
/// Traces of a user that few others have so few of.
const NEEDLE_TRACES: usize = 3;
pub(crate) const NEWEST: usize = 20;
const RED_NANOS: u64 = 15 * 60 * 1_000_000_000;
const LOOKUPS: usize = 500;
/// Users are numbers: those that end so are followed.
const FOLLOWED: char = '7';
const SPANS_OF_A_TRACE: usize = 10;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Truth {
    /// What it was made of: another wish makes another store.
    pub(crate) made_of: String,
    pub(crate) spans: u64,
    /// A trace counts once for each block that it is in.
    pub(crate) traces: u64,
    pub(crate) blocks: usize,
    pub(crate) bytes: u64,
    /// Some traces, and how many spans each has.
    pub(crate) lookups: Vec<(String, usize)>,
    pub(crate) services: BTreeMap<String, u64>,
    pub(crate) busiest: String,
    /// Its traces with the newest spans, in order.
    pub(crate) newest: Vec<String>,
    pub(crate) needle: String,
    pub(crate) needle_traces: usize,
    pub(crate) failed_traces: usize,
    /// A quarter of an hour, and the spans that start in it.
    pub(crate) red_start: u64,
    pub(crate) red_end: u64,
    pub(crate) red_spans: u64,
}

impl Truth {
    pub(crate) fn red_window(&self) -> Window {
        Window { start: self.red_start, end: self.red_end }
    }

    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        Ok(std::fs::write(path, serde_json::to_vec_pretty(self)?)?)
    }
}

/// Counts spans as they are made, in memory that does not grow with them but for some in a thousand.
pub(crate) struct Counting {
    spans: u64,
    lookups_below: u32,
    lookups: HashMap<TraceId, usize>,
    services: BTreeMap<String, OfService>,
    users: HashMap<String, BTreeSet<TraceId>>,
    failed: BTreeSet<TraceId>,
    red: Window,
    red_spans: u64,
}

#[derive(Default)]
struct OfService {
    spans: u64,
    newest: BTreeMap<TraceId, u64>,
}

impl Counting {
    /// Of about so many spans, the middle of whose time is known.
    pub(crate) fn new(spans: usize, middle_unix_nano: u64) -> Self {
        let traces = (spans / SPANS_OF_A_TRACE).max(1);
        let share = (LOOKUPS as f64 / traces as f64).min(1.0);
        Self {
            spans: 0,
            lookups_below: (share * f64::from(u32::MAX)) as u32,
            lookups: HashMap::new(),
            services: BTreeMap::new(),
            users: HashMap::new(),
            failed: BTreeSet::new(),
            red: Window { start: middle_unix_nano - RED_NANOS / 2, end: middle_unix_nano + RED_NANOS / 2 },
            red_spans: 0,
        }
    }

    pub(crate) fn add(&mut self, span: &Span) {
        self.spans += 1;
        let trace = span.trace_id;
        // The last bytes of an id are as random as any.
        let dice = u32::from_be_bytes([trace.0[12], trace.0[13], trace.0[14], trace.0[15]]);
        if dice < self.lookups_below {
            *self.lookups.entry(trace).or_default() += 1;
        }
        self.red_spans += u64::from(self.red.contains(span.start_unix_nano));
        let service = span.origin.service_name();
        match self.services.get_mut(&service) {
            Some(known) => known.add(trace, span.start_unix_nano),
            None => self.services.entry(service).or_default().add(trace, span.start_unix_nano),
        }
        for attribute in &span.attributes {
            match (attribute.key.as_str(), &attribute.value) {
                (USER, Value::Str(user)) if user.ends_with(FOLLOWED) => {
                    self.users.entry(user.clone()).or_default().insert(trace);
                }
                (STATUS, Value::Int(FAILED)) => drop(self.failed.insert(trace)),
                _ => {}
            }
        }
    }

    pub(crate) fn finish(
        self,
        made_of: String,
        blocks: usize,
        traces: u64,
        bytes: u64,
    ) -> Result<Truth, Failure> {
        let rare = |(_, traces): &(&String, &BTreeSet<TraceId>)| traces.len() == NEEDLE_TRACES;
        let needle = self.users.iter().filter(rare).min().ok_or("no user has few traces: make more spans")?;
        let (busiest, most) =
            self.services.iter().max_by_key(|(_, known)| known.spans).ok_or("there are no spans")?;
        let mut lookups: Vec<_> =
            self.lookups.iter().map(|(trace, spans)| (trace.to_string(), *spans)).collect();
        lookups.sort_unstable();
        Ok(Truth {
            made_of,
            spans: self.spans,
            traces,
            blocks,
            bytes,
            lookups,
            busiest: busiest.clone(),
            newest: most.in_order(),
            needle: needle.0.clone(),
            needle_traces: needle.1.len(),
            failed_traces: self.failed.len(),
            red_start: self.red.start,
            red_end: self.red.end,
            red_spans: self.red_spans,
            services: self.services.into_iter().map(|(service, known)| (service, known.spans)).collect(),
        })
    }
}

impl OfService {
    fn add(&mut self, trace: TraceId, start: u64) {
        self.spans += 1;
        let newest = self.newest.entry(trace).or_default();
        *newest = start.max(*newest);
        if self.newest.len() > 8 * NEWEST {
            let mut starts: Vec<u64> = self.newest.values().copied().collect();
            starts.sort_unstable();
            // With equal starts some more stay.
            let bound = starts[starts.len() - NEWEST];
            self.newest.retain(|_, start| *start >= bound);
        }
    }

    fn in_order(&self) -> Vec<String> {
        let mut order: Vec<_> = self.newest.iter().collect();
        order.sort_unstable_by_key(|(trace, start)| (std::cmp::Reverse(**start), **trace));
        order.into_iter().take(NEWEST).map(|(trace, _)| trace.to_string()).collect()
    }
}
