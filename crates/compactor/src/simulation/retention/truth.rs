//! What is true: an oracle that sees spans as they were sent, rules as they were set, and which spans readers saw.
//!
//! Which rules have decided about a trace, and when, is not known: compactors come late. So there is a time before which
//! a span must be there, by the shortest that any rules say which may have decided, and one after which it must not.

use std::collections::BTreeMap;

use siltstone_format::tenant::Tenant;
use siltstone_testkit::schedule::Violation;

use crate::retain::tests::truth::{DAY_SLACK, FOREVER, Keeps, Sent, first_day, until};

/// Rules that were set, or may have been.
#[derive(Clone, Copy, Debug)]
pub(super) struct InForce {
    pub(super) keeps: Keeps,
    /// They hold from then on at the earliest,
    pub(super) asked: u64,
    /// and from then on others hold for sure.
    replaced: Option<u64>,
    /// In which root they took back all that was decided before.
    reapplied: Option<u64>,
}

/// Since when a trace is archived for sure: by the clock, and by the number of a root.
#[derive(Clone, Copy, Debug)]
struct Archived {
    at: u64,
    root: u64,
}

#[derive(Debug, Default)]
pub(super) struct Truth {
    /// Spans by their traces, whether their commit was acknowledged or not.
    pub(super) sent: BTreeMap<u64, Vec<Sent>>,
    pub(super) next_number: u64,
    /// When a commit acknowledged a span.
    committed: BTreeMap<u64, u64>,
    rules: BTreeMap<Tenant, Vec<InForce>>,
    archived: BTreeMap<u64, Option<Archived>>,
    /// When it was acknowledged that a trace is deleted; none: somebody is about to.
    deleted: BTreeMap<u64, Option<u64>>,
    /// The newest root in which a reader saw a span,
    seen: BTreeMap<u64, u64>,
    /// and the oldest in which one missed it that had been there.
    missed: BTreeMap<u64, u64>,
    /// A rebuild takes in what was left behind. Nothing is told by what is missed in roots before it.
    rebuilt_in: u64,
    /// What is there twice after a rebuild collapses in answers, and not before it is merged together.
    may_be_doubled: bool,
    /// Spans of which it is sure that they were decided with what was there of their traces in a root.
    settled: BTreeMap<u64, u64>,
    pub(super) happened: Happened,
}

/// What happened, so that a run in which nothing happens is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) readings: u64,
    pub(super) gone: u64,
    pub(super) kept: u64,
    pub(super) late: u64,
    pub(super) archived: u64,
    pub(super) deleted: u64,
    pub(super) rules: u64,
    pub(super) reapplied: u64,
    pub(super) rebuilt: u64,
    pub(super) crashes: u64,
    pub(super) jobs_failed: u64,
    pub(super) jobs_given_up: u64,
    pub(super) expired_rows: u64,
    pub(super) expired_blocks: u64,
}

impl Happened {
    fn all(&mut self) -> [&mut u64; 14] {
        [
            &mut self.readings,
            &mut self.gone,
            &mut self.kept,
            &mut self.late,
            &mut self.archived,
            &mut self.deleted,
            &mut self.rules,
            &mut self.reapplied,
            &mut self.rebuilt,
            &mut self.crashes,
            &mut self.jobs_failed,
            &mut self.jobs_given_up,
            &mut self.expired_rows,
            &mut self.expired_blocks,
        ]
    }

    pub(super) fn add(&mut self, more: &Self) {
        let mut more = *more;
        self.all().into_iter().zip(more.all()).for_each(|(sum, more)| *sum += *more);
    }

    pub(super) fn has_seen_all(mut self) -> bool {
        self.all().into_iter().all(|count| *count > 0)
    }
}

/// What a reader found.
pub(super) struct Reading {
    pub(super) root: u64,
    /// Before it asked for anything, and when it had its snapshot.
    pub(super) began: u64,
    pub(super) at: u64,
    /// How often each span was there.
    pub(super) times: BTreeMap<u64, u32>,
}

pub(super) fn tenants() -> [Tenant; 2] {
    ["shop", "bank"].map(|name| name.parse().expect("a name"))
}

pub(super) fn tenant_of(trace: u64) -> Tenant {
    let [even, odd] = tenants();
    if trace.is_multiple_of(2) { even } else { odd }
}

/// No day is decided earlier by these rules.
fn earliest_decision(keeps: &Keeps, day: u64) -> u64 {
    until(day, keeps.all.max(DAY_SLACK))
}

impl Truth {
    pub(super) fn new(usual: Keeps) -> Self {
        let usual = InForce { keeps: usual, asked: 0, replaced: None, reapplied: None };
        let rules = tenants().into_iter().map(|tenant| (tenant, vec![usual])).collect();
        Self { rules, ..Self::default() }
    }

    /// Spans are about to be sent.
    pub(super) fn send(&mut self, spans: &[Sent]) {
        for span in spans {
            self.sent.entry(span.trace).or_default().push(*span);
        }
    }

    pub(super) fn commit(&mut self, spans: &[Sent], now: u64) {
        for span in spans {
            self.committed.insert(span.number, now);
        }
    }

    /// What comes under the id of a deleted trace later is another matter.
    pub(super) fn living_traces(&self) -> Vec<u64> {
        self.sent.keys().copied().filter(|trace| !self.deleted.contains_key(trace)).collect()
    }

    pub(super) fn ask_to_archive(&mut self, trace: u64) {
        self.archived.entry(trace).or_default();
    }

    pub(super) fn archive(&mut self, trace: u64, root: u64, now: u64) {
        let archived = self.archived.entry(trace).or_default();
        archived.get_or_insert(Archived { at: now, root });
        self.happened.archived += 1;
    }

    pub(super) fn ask_to_delete(&mut self, trace: u64) {
        self.deleted.entry(trace).or_default();
    }

    pub(super) fn delete(&mut self, trace: u64, now: u64) {
        self.deleted.insert(trace, Some(now));
        self.happened.deleted += 1;
    }

    pub(super) fn ask_for_rules(&mut self, tenant: &Tenant, keeps: Keeps, now: u64) {
        let rules = InForce { keeps, asked: now, replaced: None, reapplied: None };
        self.rules.entry(tenant.clone()).or_default().push(rules);
    }

    /// The rules that were asked for last hold: who asked for others meanwhile was too late.
    pub(super) fn set_rules(&mut self, tenant: &Tenant, reapplied: Option<u64>, now: u64) {
        let Some((last, before)) = self.rules.get_mut(tenant).and_then(|rules| rules.split_last_mut()) else {
            return;
        };
        last.reapplied = reapplied;
        before.iter_mut().for_each(|rules| {
            rules.replaced.get_or_insert(now);
        });
        self.happened.rules += 1;
        self.happened.reapplied += u64::from(reapplied.is_some());
    }

    pub(super) fn begin_rebuild(&mut self) {
        self.rebuilt_in = u64::MAX;
        self.may_be_doubled = true;
    }

    pub(super) fn end_rebuild(&mut self, root: u64) {
        self.rebuilt_in = root;
        self.missed.clear();
        self.happened.rebuilt += 1;
    }

    /// What is wrong with what a reader found.
    pub(super) fn look(&mut self, reading: &Reading) -> Result<(), Violation> {
        self.happened.readings += 1;
        self.look_at_what_is_there(reading)?;
        let there = |span: &Sent| reading.times.contains_key(&span.number);
        let mut missed = Vec::new();
        for (trace, spans) in self.sent.iter().filter(|(trace, _)| !self.deleted.contains_key(trace)) {
            for span in spans.iter().filter(|span| !there(span)) {
                if self.committed.get(&span.number).is_none_or(|at| *at >= reading.began) {
                    continue;
                }
                let least = self.kept_at_least(span, spans);
                if reading.at < least {
                    return Err(format!(
                        "{span:?} is gone at {}, and is kept until {least}: trace {spans:?}, archived {:?}, settled \
                         {:?}, rules {:?}",
                        reading.at,
                        self.archived.get(trace),
                        self.settled,
                        self.rules.get(&tenant_of(*trace))
                    ));
                }
                missed.push(span.number);
            }
        }
        if reading.root >= self.rebuilt_in {
            for number in missed {
                let oldest = self.missed.entry(number).or_insert_with(|| {
                    self.happened.gone += 1;
                    reading.root
                });
                *oldest = reading.root.min(*oldest);
            }
        }
        self.nothing_came_back()
    }

    fn look_at_what_is_there(&mut self, reading: &Reading) -> Result<(), Violation> {
        let traces: BTreeMap<u64, u64> =
            self.sent.values().flatten().map(|span| (span.number, span.trace)).collect();
        for (number, times) in &reading.times {
            if *times > 1 && !self.may_be_doubled {
                return Err(format!("span {number} is there {times} times"));
            }
            let Some(trace) = traces.get(number) else { return Err(format!("span {number} was never sent")) };
            if self.deleted.get(trace).copied().flatten().is_some_and(|at| at < reading.began) {
                return Err(format!("span {number} was deleted, and is there"));
            }
            let newest = self.seen.entry(*number).or_default();
            *newest = reading.root.max(*newest);
        }
        Ok(())
    }

    fn nothing_came_back(&self) -> Result<(), Violation> {
        if self.rebuilt_in == u64::MAX {
            return Ok(());
        }
        let back = self.missed.iter().find(|(number, missed)| self.last_seen(**number) > **missed);
        back.map_or(Ok(()), |(number, missed)| {
            let seen = self.last_seen(*number);
            Err(format!("span {number} was gone in root {missed}, and is there in root {seen}"))
        })
    }

    fn last_seen(&self, number: u64) -> u64 {
        self.seen.get(&number).copied().unwrap_or(0)
    }

    /// Nobody did anything since but to merge, decide and drop all that was due at this time. What had to go is gone, and
    /// what was due is decided.
    pub(super) fn settle(&mut self, reading: &Reading, since: u64) -> Result<(), Violation> {
        for (trace, spans) in &self.sent {
            let Some(rules) = self.rules.get(&tenant_of(*trace)) else { continue };
            for span in spans.iter().filter(|span| reading.times.contains_key(&span.number)) {
                let most = self.kept_at_most(span, spans, rules);
                if most <= since {
                    return Err(format!(
                        "{span:?} is there at {since}, and was kept until {most}: {spans:?}, {rules:?}"
                    ));
                }
                let mut present = rules.iter().filter(|rules| rules.replaced.is_none());
                if present.all(|rules| earliest_decision(&rules.keeps, span.day()) <= since) {
                    self.settled.entry(span.number).or_insert(reading.root);
                }
            }
        }
        Ok(())
    }

    /// When all has gone that ever goes.
    pub(super) fn last_to_go(&self) -> u64 {
        let all = self.sent.iter().flat_map(|(trace, spans)| {
            let rules = self.rules.get(&tenant_of(*trace));
            spans.iter().filter_map(move |span| Some(self.kept_at_most(span, spans, rules?)))
        });
        all.filter(|until| *until < FOREVER).max().unwrap_or(0)
    }

    /// Before this time a span must be there.
    fn kept_at_least(&self, span: &Sent, spans: &[Sent]) -> u64 {
        let (day, seen) = (first_day(spans), self.last_seen(span.number));
        let Some(rules) = self.rules.get(&tenant_of(span.trace)) else { return FOREVER };
        // What was decided before the newest rules that a reader has seen it under take back all holds no more.
        let is_void = |rules: &InForce| rules.reapplied.is_some_and(|root| root <= seen);
        let first = rules.iter().rposition(is_void).unwrap_or(0);
        let void_in = rules[first].reapplied.filter(|root| *root <= seen).unwrap_or(0);
        let holds_at = |rules: &InForce, time: u64| rules.replaced.is_none_or(|replaced| replaced >= time);
        let deciding: Vec<&InForce> = rules[first..]
            .iter()
            .filter(|rules| holds_at(rules, earliest_decision(&rules.keeps, day)))
            .collect();
        let decisions = deciding.iter().map(|rules| rules.asked.max(earliest_decision(&rules.keeps, day)));
        let Some(first_decision) = decisions.min() else { return FOREVER };
        let shortest = |spans: &[&Sent]| {
            deciding.iter().map(|rules| rules.keeps.of(spans.iter().copied())).min().unwrap_or(FOREVER)
        };

        let is_known = |other: &Sent| self.last_seen(other.number) >= void_in;
        let is_early = |other: &Sent| {
            is_known(other) && self.committed.get(&other.number).is_some_and(|at| *at < first_decision)
        };
        let is_settled = |other: &Sent| {
            is_known(other) && self.settled.get(&other.number).is_some_and(|root| *root <= seen)
        };
        let mut hours = shortest(&[span]);
        if is_early(span) || is_settled(span) {
            let early: Vec<&Sent> = spans.iter().filter(|other| is_early(other)).collect();
            hours = hours.max(shortest(&early));
            // What came late was decided by itself, and all of its trace is kept as long.
            for late in spans.iter().filter(|other| is_settled(other)) {
                hours = hours.max(shortest(&[late]));
            }
        }
        let kept = until(day, hours);
        match self.archived.get(&span.trace).copied().flatten() {
            Some(archived) if archived.at < kept.max(span.committed) || archived.root <= seen => {
                let later = rules[first..].iter().filter(|rules| holds_at(rules, first_decision));
                let hours = later.map(|rules| rules.keeps.of_archived()).min().unwrap_or(FOREVER);
                kept.max(until(day, hours))
            }
            _ => kept,
        }
    }

    /// After this time a span must be gone, by all rules that may have held since all was decided anew.
    fn kept_at_most(&self, span: &Sent, spans: &[Sent], rules: &[InForce]) -> u64 {
        let is_archived = self.archived.contains_key(&span.trace);
        let hours = |rules: &InForce| {
            let archived = if is_archived { rules.keeps.of_archived() } else { 0 };
            rules.keeps.of(spans.iter()).max(archived)
        };
        let first = rules.iter().rposition(|rules| rules.reapplied.is_some()).unwrap_or(0);
        until(span.day(), rules[first..].iter().map(hours).max().unwrap_or(FOREVER).max(DAY_SLACK))
    }
}
