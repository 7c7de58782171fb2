//! The table `traces` against plain code.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use siltstone_ask::collapse;
use siltstone_format::id::TraceId;
use siltstone_format::span::Span;
use siltstone_querier::limits::QueryLimits;
use siltstone_testkit::arbitrary;
use siltstone_tests::scene::{LAYOUTS, Scene};
use siltstone_tests::sql_rows::sql_rows as rows;

use crate::rows::runtime;

/// The columns that are compared, and a trace's values of them.
const COLUMNS: &str = "trace_id, CAST(start_time AS BIGINT), duration, span_count, error_count, \
                       array_to_string(services, '|'), root_service, root_name, complete";

fn row_of(trace: TraceId, spans: &[&Span]) -> Vec<Option<String>> {
    let start = spans.iter().map(|span| span.start_unix_nano).min().unwrap();
    let end = spans.iter().map(|span| span.end_unix_nano).max().unwrap();
    let mut roots: Vec<&&Span> = spans.iter().filter(|span| span.parent_span_id.is_none()).collect();
    roots.sort_by_key(|span| (span.start_unix_nano, span.span_id));
    let ids: BTreeSet<_> = spans.iter().map(|span| span.span_id).collect();
    let has_parents = spans.iter().all(|span| span.parent_span_id.is_none_or(|parent| ids.contains(&parent)));
    let services: BTreeSet<String> =
        spans.iter().map(|span| span.origin.service_name()).filter(|name| !name.is_empty()).collect();
    let some = |text: String| (!text.is_empty()).then_some(text);
    let duration = i64::try_from(i128::from(end) - i128::from(start)).ok();
    vec![
        Some(trace.to_string()),
        Some(start.to_string()),
        duration.map(|nanos| nanos.to_string()),
        Some(spans.len().to_string()),
        Some(spans.iter().filter(|span| span.status_code == 2).count().to_string()),
        Some(services.into_iter().collect::<Vec<_>>().join("|")),
        roots.first().and_then(|root| some(root.origin.service_name())),
        roots.first().and_then(|root| some(root.name.clone())),
        Some((!roots.is_empty() && has_parents).to_string()),
    ]
}

/// Two spans that may be the first root: which one is the root is not said.
fn has_equal_roots(spans: &[&Span]) -> bool {
    let roots = spans.iter().filter(|span| span.parent_span_id.is_none());
    let mut keys: Vec<_> = roots.map(|span| (span.start_unix_nano, span.span_id)).collect();
    keys.sort();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

#[test]
fn traces_are_whole_and_chosen_by_their_first_span() {
    let runtime = runtime();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) };
    let cases = (
        arbitrary::arbitrary_requests(),
        any::<[Index; 2]>(),
        select(LAYOUTS.to_vec()),
        proptest::collection::vec(any::<usize>(), 64),
    );
    let checked = TestRunner::new(config).run(&cases, |(requests, window, layout, dice)| {
        runtime.block_on(async {
            let mut rolls = dice.iter().cycle();
            let scene = Scene::of(&requests, layout, 3, |sides| rolls.next().unwrap() % sides).await;
            if scene.spans.is_empty() {
                return Ok(());
            }
            let querier = scene.world.querier(QueryLimits::default());
            let bounds = window.each_ref().map(|index| index.get(&scene.spans).start_unix_nano);
            let (from, to) = (bounds[0].min(bounds[1]), bounds[0].max(bounds[1]));
            let spans = collapse(scene.spans);
            let mut traces = BTreeMap::<TraceId, Vec<&Span>>::new();
            spans.iter().for_each(|span| traces.entry(span.trace_id).or_default().push(span));
            traces.retain(|_, spans| !has_equal_roots(spans));
            let right: Vec<_> = traces.iter().map(|(trace, spans)| row_of(*trace, spans)).collect();
            let is_known = |row: &Vec<Option<String>>| {
                traces.contains_key(&row[0].as_ref().unwrap().parse::<TraceId>().unwrap())
            };
            let mut found = rows(&querier, &format!("SELECT {COLUMNS} FROM traces")).await;
            found.retain(is_known);
            prop_assert_eq!(&found, &right);

            let clause =
                format!("start_time BETWEEN to_timestamp_nanos({from}) AND to_timestamp_nanos({to})");
            let mut found = rows(&querier, &format!("SELECT {COLUMNS} FROM traces WHERE {clause}")).await;
            found.retain(is_known);
            let starts =
                |row: &&Vec<Option<String>>| (from..=to).contains(&row[1].as_ref().unwrap().parse().unwrap());
            prop_assert_eq!(&found, &right.iter().filter(starts).cloned().collect::<Vec<_>>());

            if let Some(row) = right.first() {
                let id = row[0].as_ref().unwrap();
                let one =
                    rows(&querier, &format!("SELECT {COLUMNS} FROM traces WHERE trace_id = '{id}'")).await;
                prop_assert_eq!(&one, &vec![row.clone()]);
            }
            Ok(())
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}
