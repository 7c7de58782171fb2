//! Rows of random clauses.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use siltstone_ask::collapse;
use siltstone_format::span::Span;
use siltstone_querier::limits::QueryLimits;
use siltstone_querier::querier::Querier;
use siltstone_testkit::arbitrary;
use siltstone_tests::scene::{LAYOUTS, Layout, Scene};
use siltstone_tests::sql_rows::sql_rows as rows;
use siltstone_traffic::{Traffic, TrafficConfig};

use crate::clause::{Column, Described, described, duration};
use crate::{groups, minutes};

const COLUMNS: [Column; 10] = [
    Column::TraceId,
    Column::SpanId,
    Column::ParentSpanId,
    Column::Service,
    Column::Name,
    Column::Kind,
    Column::StatusCode,
    Column::StatusMessage,
    Column::Span("a"),
    Column::Resource("b"),
];

fn row_of(span: &Span) -> Vec<Option<String>> {
    let mut row: Vec<_> = COLUMNS.iter().map(|column| column.of(span)).collect();
    row.push(duration(span).map(|nanos| nanos.to_string()));
    row
}

/// The rows of a clause, whole and counted by service.
pub(crate) async fn check(
    querier: &Arc<Querier>,
    spans: &[Span],
    described: &Described,
) -> Result<usize, TestCaseError> {
    let clause = described.sql(spans);
    let matching: Vec<&Span> =
        spans.iter().filter(|span| described.holds(span, spans) == Some(true)).collect();
    let mut right: Vec<_> = matching.iter().map(|span| row_of(span)).collect();
    right.sort();
    let columns: Vec<String> = COLUMNS.iter().map(|column| column.sql()).collect();
    let found =
        rows(querier, &format!("SELECT {}, duration FROM spans WHERE {clause}", columns.join(", "))).await;
    prop_assert_eq!(&found, &right, "{}", clause);

    let mut counts = BTreeMap::<_, usize>::new();
    matching.iter().for_each(|span| *counts.entry(Column::Service.of(span)).or_default() += 1);
    let right: Vec<_> =
        counts.into_iter().map(|(service, count)| vec![service, Some(count.to_string())]).collect();
    let statement = format!("SELECT service_name, count(*) FROM spans WHERE {clause} GROUP BY service_name");
    prop_assert_eq!(rows(querier, &statement).await, right, "{}", clause);
    Ok(matching.len())
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn random_clauses_select_what_they_say_wherever_spans_lie() {
    let runtime = runtime();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) };
    let cases = (
        arbitrary::arbitrary_requests(),
        vec(described(), 6),
        select(LAYOUTS.to_vec()),
        vec(any::<usize>(), 64),
    );
    let tally = std::cell::RefCell::new((0, 0));
    let checked = TestRunner::new(config).run(&cases, |(requests, described, layout, dice)| {
        runtime.block_on(async {
            let mut rolls = dice.iter().cycle();
            let scene = Scene::of(&requests, layout, 3, |sides| rolls.next().unwrap() % sides).await;
            if scene.spans.is_empty() {
                return Ok(());
            }
            let querier = scene.world.querier(QueryLimits::default());
            let spans = collapse(scene.spans);
            groups::check(&querier, &spans).await?;
            minutes::check(&querier, &spans).await?;
            for described in &described {
                let found = check(&querier, &spans, described).await?;
                let mut tally = tally.borrow_mut();
                tally.0 += found;
                tally.1 += usize::from(found == 0);
            }
            Ok(())
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
    let (found, empty) = tally.into_inner();
    println!("{found} rows found, {empty} clauses without any");
    assert!(found > 1_000 && empty > 100);
}

/// Believable traffic: row groups, pages and dictionaries of a real size.
#[test]
fn clauses_of_real_questions_select_what_they_say_among_many_spans() {
    let runtime = runtime();
    let config = TrafficConfig { spans: 150_000, seed: 9, ..TrafficConfig::default() };
    let requests: Vec<_> = Traffic::new(config).map(|batch| batch.request).collect();
    let mut roll = 1_usize;
    runtime.block_on(async {
        let scene = Scene::of(&requests, Layout::MergedOnly, 1_000_000, |sides| {
            roll = roll.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (roll >> 33) % sides
        });
        let scene = scene.await;
        let querier = scene.world.querier(QueryLimits::default());
        let spans = &scene.spans;
        let counted = |clause: &str| format!("SELECT count(*) FROM spans WHERE {clause}");
        let status = |span: &Span| Column::Span("http.response.status_code").of(span);
        let is_500 = spans.iter().filter(|span| status(span).as_deref() == Some("500")).count();
        assert!(is_500 > 10);
        for clause in [
            "span_attributes['http.response.status_code'] = 500",
            "span_attributes['http.response.status_code'] = '500'",
            "CAST(span_attributes['http.response.status_code'] AS INT) = 500",
            "span_attributes['http.response.status_code'] BETWEEN 499.5 AND 500",
        ] {
            assert_eq!(rows(&querier, &counted(clause)).await, [[Some(is_500.to_string())]], "{clause}");
        }
        let slow = spans.iter().filter(|span| duration(span).unwrap() > 500_000_000).count();
        assert_eq!(rows(&querier, &counted("duration > 500000000")).await, [[Some(slow.to_string())]]);
        let all = rows(&querier, "SELECT count(*) FROM spans").await;
        assert_eq!(all, [[Some(spans.len().to_string())]]);
        let mut starts: Vec<u64> = spans.iter().map(|span| span.start_unix_nano).collect();
        starts.sort_unstable_by(|one, other| other.cmp(one));
        let newest = rows(
            &querier,
            "SELECT CAST(start_time AS BIGINT) AS nanos FROM spans ORDER BY start_time DESC LIMIT 20",
        )
        .await;
        let mut right: Vec<_> = starts[..20].iter().map(|start| vec![Some(start.to_string())]).collect();
        right.sort();
        assert_eq!(newest, right);
    });
}
