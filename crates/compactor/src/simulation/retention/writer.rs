//! A writer: spans of new traces, and late ones of those that are there.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::IndexedRandom;
use siltstone_catalog::commit::Fate;
use siltstone_format::id::WriterId;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_testkit::schedule::Violation;

use super::super::world::Site;
use super::super::writer::flush;
use super::run::Shared;
use super::truth::{Truth, tenant_of};
use crate::retain::tests::truth::{DAY, HOUR, Sent};

/// Most late spans are of traces that may still be there.
const RECENT: usize = 40;

pub(super) async fn run(site: Site, truth: Shared, flushes: u64) -> Result<(), Violation> {
    let (mut writer, mut number) = (WriterId(site.catalog.next_id()), 0);
    for _ in 0..flushes {
        site.rest(2_500).await;
        let sent = next_spans(&site, &mut truth.borrow_mut());
        let mut spans: BTreeMap<Tenant, Vec<Span>> = BTreeMap::new();
        for span in &sent {
            spans.entry(tenant_of(span.trace)).or_default().push(span.span());
        }
        let spans: Vec<(Tenant, Vec<Span>)> = spans.into_iter().collect();
        loop {
            // Nothing is said of deletions, so that they hide all of a trace, whenever it came.
            match flush(&site, &spans, 0, (writer, number)).await {
                Fate::Committed => break,
                Fate::Missing => {}
                Fate::Fenced { .. } => (writer, number) = (WriterId(site.catalog.next_id()), 0),
            }
        }
        number += 1;
        truth.borrow_mut().commit(&sent, site.true_time());
    }
    Ok(())
}

fn next_spans(site: &Site, truth: &mut Truth) -> Vec<Sent> {
    let count = site.rng.borrow_mut().random_range(1..12);
    let spans: Vec<Sent> = (0..count).map(|_| next_span(site, truth)).collect();
    truth.send(&spans);
    spans
}

/// One of a new trace, or of one that was sent before: of its day or the next one, however late.
fn next_span(site: &Site, truth: &mut Truth) -> Sent {
    let (now, number, mut rng) = (site.true_time(), truth.next_number, site.rng.borrow_mut());
    truth.next_number += 1;
    let known = truth.living_traces();
    let known = &known[known.len().saturating_sub(if rng.random_bool(0.2) { usize::MAX } else { RECENT })..];
    let trace = match known.choose(&mut rng) {
        Some(trace) if rng.random_bool(0.5) => *trace,
        _ => number,
    };
    let start = match truth.sent.get(&trace).and_then(|spans| spans.first()) {
        Some(first) => (first.start + rng.random_range(0..14 * HOUR)).min(now),
        None => now - rng.random_range(0..2 * HOUR),
    };
    truth.happened.late += u64::from(start + DAY < now);
    let mut is = |chance| rng.random_bool(chance);
    let (failed, paid, slow) = (is(0.15), is(0.15), is(0.15));
    Sent { number, trace, start, failed, paid, slow, committed: now }
}
