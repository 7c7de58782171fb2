//! Read your writes: whoever has an acknowledgement finds all spans that it is about, each once, in the answer to
//! every question, while flushes and merges run.
//!
//! Each sender marks its spans and asks about them between two of its requests. Nothing of its own is under way then,
//! so the oracle knows the answer exactly, whatever others send meanwhile.

#![expect(clippy::expect_used, reason = "these are tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use siltstone_ask::{Comparison, Filter, Level, Literal, Target, Window};
use siltstone_catalog::Catalog;
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;
use siltstone_ingest::config::IngestConfig;
use siltstone_ingest::service::Ingest;
use siltstone_querier::counts::Of;
use siltstone_querier::querier::{Answer, Querier};
use siltstone_querier::rank::Order;
use siltstone_querier::search::Search;
use siltstone_querier::spans::SpanSearch;
use siltstone_testkit::oracle::{self, CanonicalSpan, FilterValue, Oracle, OracleFilter};
use siltstone_tests::decode::request_spans;
use siltstone_tests::ingest_world::{World, send};
use siltstone_tests::merging::merge_the_inbox;
use siltstone_tests::scene::canonical;
use siltstone_tests::sql_rows::sql_rows;
use siltstone_traffic::{Traffic, TrafficConfig};
use tokio::sync::Notify;

const LOG_BYTES: u64 = 1 << 30;
const SENDERS: u64 = 3;
const REQUESTS: usize = 40;
const SPANS_OF_A_REQUEST: usize = 25;
/// One request in so many has spans once more that an earlier one had.
const EVERY: usize = 4;
/// So that a merge has several blocks, and there are blocks beside merged ones.
const REQUESTS_OF_A_MERGE: usize = 6;
const MARK: &str = "test.sender";

/// What the others must know of senders.
#[derive(Default)]
struct Progress {
    changed: Notify,
    acknowledged: AtomicUsize,
    at_work: AtomicUsize,
    /// Questions that were asked while spans were in no block.
    asked_of_live_spans: AtomicUsize,
}

struct Sender {
    mark: String,
    querier: Arc<Querier>,
    /// What was acknowledged.
    oracle: Oracle,
    /// The trace of a span of each request that was acknowledged.
    traces: Vec<TraceId>,
}

/// Requests of one sender, with its mark.
fn requests(sender: u64) -> Vec<ExportTraceServiceRequest> {
    let config = TrafficConfig {
        seed: 100 + sender,
        spans: REQUESTS * SPANS_OF_A_REQUEST,
        request_spans: SPANS_OF_A_REQUEST,
        writers: 1,
        ..TrafficConfig::default()
    };
    let mut requests: Vec<_> = Traffic::new(config).map(|batch| batch.request).collect();
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(mark(sender))) });
    for resource in requests.iter_mut().flat_map(|request| &mut request.resource_spans) {
        let attributes = &mut resource.resource.get_or_insert_default().attributes;
        attributes.push(KeyValue { key: MARK.to_owned(), value: value.clone(), ..KeyValue::default() });
    }
    for later in (EVERY..requests.len()).step_by(EVERY) {
        let again = requests[later - 2].resource_spans.clone();
        requests[later].resource_spans.extend(again);
    }
    requests
}

fn mark(sender: u64) -> String {
    format!("sender {sender}")
}

fn complete<T>(answer: Answer<T>) -> T {
    assert!(answer.gaps.is_empty(), "{:?}", answer.gaps);
    answer.content
}

impl Sender {
    fn new(sender: u64, querier: Arc<Querier>) -> Self {
        Self { mark: mark(sender), querier, oracle: Oracle::default(), traces: Vec::new() }
    }

    fn acknowledged(&mut self, request: &ExportTraceServiceRequest) {
        self.oracle.accept(request);
        self.traces.extend(request_spans(request).map(|span| span.trace_id).next());
    }

    /// Of the newest request, or of an older one.
    fn trace(&self, place: usize) -> TraceId {
        self.traces[if place.is_multiple_of(2) { self.traces.len() - 1 } else { place % self.traces.len() }]
    }

    fn filter(&self) -> Filter {
        let target = Target::attribute(Level::Resource, MARK);
        Filter::compare(target, Comparison::Eq, Literal::Text(self.mark.clone())).expect("is a filter")
    }

    fn of_oracle(&self) -> oracle::Search {
        let test = oracle::Test::equal(FilterValue::Text(self.mark.clone()));
        oracle::Search::all(OracleFilter::attribute(oracle::Level::Resource, MARK, test))
    }

    async fn ask(&self, question: usize) {
        match question % 6 {
            0 => self.ask_for_a_trace(question / 6).await,
            1 => self.search().await,
            2 => self.find_spans().await,
            3 => self.count_services().await,
            4 => self.count_a_trace_by_sql(question / 6).await,
            _ => self.count_services_by_sql().await,
        }
    }

    async fn ask_for_a_trace(&self, place: usize) {
        let id = self.trace(place);
        let found = complete(self.querier.traces(&Tenant::single(), &[id]).await.expect("answers"));
        let found: Vec<CanonicalSpan> = found.iter().flat_map(|trace| canonical(&trace.spans)).collect();
        assert_same("trace", &found, &self.oracle.trace(&id.0));
    }

    async fn search(&self) {
        let search = Search {
            tenant: Tenant::single(),
            filter: self.filter(),
            window: Window::ALL,
            order: Order::Newest,
            limit: 4,
            after: None,
        };
        let found = complete(self.querier.search(&search).await.expect("answers")).traces;
        let right = self.oracle.find(&self.of_oracle()).traces;
        let right = &right[..right.len().min(search.limit)];
        let ids = |ids: &mut dyn Iterator<Item = &[u8]>| ids.map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(
            ids(&mut found.iter().map(|found| &found.trace.id.0[..])),
            ids(&mut right.iter().map(|right| &right.trace_id.0[..])),
            "other traces come first"
        );
        for (found, right) in found.iter().zip(right) {
            assert_same("found trace", &canonical(&found.trace.spans), &right.spans);
            assert_eq!(found.matching, right.matching);
        }
    }

    async fn find_spans(&self) {
        let search = SpanSearch {
            tenant: Tenant::single(),
            filter: self.filter(),
            window: Window::ALL,
            order: Order::Newest,
            limit: 60,
            after: None,
        };
        let found = complete(self.querier.find_spans(&search).await.expect("answers")).spans;
        let right = self.oracle.find_spans(&self.of_oracle());
        let mut right = right[..right.len().min(search.limit)].to_vec();
        right.sort();
        assert_same("newest spans", &canonical(&found), &right);
    }

    async fn count_services(&self) {
        let of = Of { tenant: Tenant::single(), filter: self.filter(), window: Window::ALL };
        let found = complete(self.querier.spans_per_service(&of).await.expect("answers"));
        assert_eq!(found, self.oracle.spans_per_service());
    }

    async fn count_a_trace_by_sql(&self, place: usize) {
        let id = self.trace(place);
        let statement = format!("SELECT count(*) FROM spans WHERE trace_id = '{id}'");
        let right = self.oracle.trace(&id.0).len();
        assert_eq!(sql_rows(&self.querier, &statement).await, [[Some(right.to_string())]], "{statement}");
    }

    async fn count_services_by_sql(&self) {
        let mark = &self.mark;
        let statement = format!(
            "SELECT service_name, count(*) FROM spans WHERE resource_attributes['{MARK}'] = '{mark}' GROUP BY 1"
        );
        let found: BTreeMap<_, _> = sql_rows(&self.querier, &statement)
            .await
            .into_iter()
            .map(|row| (row[0].clone(), row[1].clone()))
            .collect();
        let right = self.oracle.spans_per_service().into_iter();
        let right = right.map(|(service, count)| (Some(service), Some(count.to_string())));
        assert_eq!(found, right.collect(), "{statement}");
    }
}

fn assert_same(what: &str, found: &[CanonicalSpan], right: &[CanonicalSpan]) {
    let missing = right.iter().filter(|span| !found.contains(span)).count();
    assert!(
        found == right,
        "{what}: {} spans in place of {}; {missing} of those that were acknowledged are missing",
        found.len(),
        right.len()
    );
}

/// Sends one request after the other, and asks two questions after each acknowledgement.
async fn sends_and_asks(
    mut sender: Sender,
    requests: Vec<ExportTraceServiceRequest>,
    ingest: Arc<Ingest>,
    progress: Arc<Progress>,
) -> Sender {
    for (number, request) in requests.iter().enumerate() {
        send(&ingest, &Tenant::single(), request).await.expect("is accepted");
        sender.acknowledged(request);
        progress.acknowledged.fetch_add(1, Ordering::Relaxed);
        progress.changed.notify_one();
        for question in [2 * number, 2 * number + 1] {
            let is_any_live = !ingest.live_segments().is_empty();
            progress.asked_of_live_spans.fetch_add(usize::from(is_any_live), Ordering::Relaxed);
            sender.ask(question).await;
        }
    }
    progress.at_work.fetch_sub(1, Ordering::Relaxed);
    progress.changed.notify_one();
    sender
}

/// Merges now and then for as long as anybody sends. How often, and how many spans it found twice.
async fn merges(catalog: Arc<Catalog>, progress: Arc<Progress>) -> (usize, usize) {
    let (mut merges, mut dropped, mut seen) = (0, 0, 0);
    while progress.at_work.load(Ordering::Relaxed) > 0 {
        progress.changed.notified().await;
        let acknowledged = progress.acknowledged.load(Ordering::Relaxed);
        if acknowledged < seen + REQUESTS_OF_A_MERGE {
            continue;
        }
        seen = acknowledged;
        if let Some(merged) = merge_the_inbox(&catalog, &Tenant::single(), usize::MAX).await {
            merges += 1;
            dropped += merged.dropped;
        }
    }
    (merges, dropped)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_find_what_was_acknowledged_in_every_answer_while_flushes_and_merges_run() {
    let world = World::new();
    let age = Duration::from_millis(60);
    let config = IngestConfig { small_tenant_age: age, large_tenant_age: age, ..world.config() };
    let ingest = Arc::new(world.ingest(1, LOG_BYTES, config).await.0);
    let progress = Arc::new(Progress { at_work: (SENDERS as usize).into(), ..Progress::default() });
    let querier = world.querier(3, &ingest);
    let (merger, progress_of_merger) = (world.catalog(2), Arc::clone(&progress));
    let runtime = tokio::runtime::Handle::current();
    let merging = tokio::task::spawn_blocking(move || runtime.block_on(merges(merger, progress_of_merger)));
    let sending: Vec<_> = (0..SENDERS)
        .map(|number| {
            let sender = Sender::new(number, Arc::clone(&querier));
            let (ingest, progress) = (Arc::clone(&ingest), Arc::clone(&progress));
            tokio::spawn(sends_and_asks(sender, requests(number), ingest, progress))
        })
        .collect();
    let mut senders = Vec::new();
    for sending in sending {
        senders.push(sending.await.expect("finds all"));
    }
    let (merges, dropped) = merging.await.expect("merges");
    let asked_of_live_spans = progress.asked_of_live_spans.load(Ordering::Relaxed);
    println!(
        "{merges} merges dropped {dropped} spans; {asked_of_live_spans} questions while spans were live"
    );
    assert!(merges > 5 && dropped > 20 && asked_of_live_spans > 50, "nothing was under way");

    assert!(ingest.shutdown(Duration::from_secs(60)).await);
    let later = world.querier(4, &ingest);
    for sender in &mut senders {
        sender.querier = Arc::clone(&later);
        for question in 0..12 {
            sender.ask(question).await;
        }
    }
}
