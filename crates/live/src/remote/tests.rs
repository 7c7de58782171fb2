use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use siltstone_ask::{Comparison, Field, Filter, Window};
use siltstone_format::id::{TraceId, WriterId};
use siltstone_format::invariants::check_f2;
use siltstone_format::tenant::Tenant;
use siltstone_testkit::nasty;
use siltstone_tests::blocks::{columns_of, traffic_columns};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use ulid::Ulid;

use super::*;
use crate::question::Wanted;
use crate::serve::serve;

const INGESTER: ObjectId = ObjectId(Ulid(7));

/// Answers what it was told to, and remembers what it was asked.
struct Fake {
    answer: Result<Answer, &'static str>,
    asked: Mutex<Vec<Question>>,
    hangs: bool,
}

#[async_trait]
impl LiveSource for Fake {
    fn name(&self) -> &str {
        "fake"
    }

    async fn ask(&self, question: &Question) -> Result<Answer, LiveError> {
        self.asked.lock().unwrap().push(question.clone());
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let refused = |why: &str| LiveError::Refused { ingester: "fake".to_owned(), why: why.to_owned() };
        self.answer.clone().map_err(refused)
    }
}

fn fake(answer: Result<Answer, &'static str>) -> Arc<Fake> {
    Arc::new(Fake { answer, asked: Mutex::default(), hangs: false })
}

/// Serves a source on a port of its own until the test ends.
async fn address_of(source: Arc<Fake>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder().add_service(serve(INGESTER, source));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    address
}

fn remote(address: &str, limits: RemoteLimits) -> RemoteLive {
    RemoteLive::connect(INGESTER, address, limits).unwrap()
}

fn everything() -> Question {
    Question { tenant: Tenant::single(), wanted: Wanted::Matching { filter: None, window: Window::ALL } }
}

fn answer() -> Answer {
    let segment = |number, spans: siltstone_format::columns::SpanColumns| LiveSegment {
        writer: WriterId(Ulid(1)),
        number,
        known_deletions: 7 * number,
        spans: spans.into(),
    };
    Answer {
        segments: vec![
            segment(3, columns_of(&nasty::requests()).unwrap()),
            segment(4, Default::default()),
            segment(5, traffic_columns(3_000, 600, 1).unwrap()),
        ],
        committed: BTreeMap::from([(WriterId(Ulid(1)), 3), (WriterId(Ulid(2)), u64::MAX)]),
        min_root: 9,
        fresh: false,
    }
}

#[tokio::test]
async fn should_give_the_answer_of_the_source() {
    let address = address_of(fake(Ok(answer()))).await;
    let received = remote(&address, RemoteLimits::default()).ask(&everything()).await.unwrap();
    let expected = answer();
    assert_eq!((received.committed, received.min_root), (expected.committed, expected.min_root));
    assert_eq!(received.segments.len(), expected.segments.len());
    for (one, other) in received.segments.iter().zip(&expected.segments) {
        assert_eq!((one.writer, one.number), (other.writer, other.number));
        check_f2(&other.spans.spans().unwrap(), &one.spans.spans().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn should_ask_what_was_asked() {
    let source = fake(Ok(Answer::default()));
    let remote = remote(&address_of(Arc::clone(&source)).await, RemoteLimits::default());
    let filter = Filter::compare(Field::Duration.into(), Comparison::Ge, 5).unwrap();
    let window = Window { start: 1, end: u64::MAX };
    let questions = [
        everything(),
        Question {
            tenant: "a".parse().unwrap(),
            wanted: Wanted::Traces(vec![TraceId([1; 16]), TraceId([2; 16])]),
        },
        Question { tenant: "a".parse().unwrap(), wanted: Wanted::Traces(vec![]) },
        Question { tenant: "b".parse().unwrap(), wanted: Wanted::Matching { filter: Some(filter), window } },
    ];
    for question in &questions {
        remote.ask(question).await.unwrap();
    }
    assert_eq!(format!("{:?}", source.asked.lock().unwrap()), format!("{questions:?}"));
}

#[tokio::test]
async fn should_bring_a_span_that_is_larger_than_a_message() {
    let mut columns = siltstone_format::columns::SpanColumns::default();
    let span = siltstone_format::span::Span { name: "é".repeat(3 * PIECE_BYTES), ..Default::default() };
    columns.push(&span).unwrap();
    let segment =
        LiveSegment { writer: WriterId(Ulid(1)), number: 0, known_deletions: 0, spans: columns.into() };
    let address = address_of(fake(Ok(Answer { segments: vec![segment], ..Answer::default() }))).await;
    let received = remote(&address, RemoteLimits::default()).ask(&everything()).await.unwrap();
    assert_eq!(received.segments[0].spans.spans().unwrap(), [span]);
}

#[tokio::test]
async fn should_say_who_is_dead_slow_or_unwilling() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = remote(&format!("http://{nobody}"), RemoteLimits::default()).ask(&everything()).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, LiveError::Unreachable { .. }) && error.to_string().contains("refused"),
        "{error}"
    );

    let hung = Arc::new(Fake { answer: Ok(Answer::default()), asked: Mutex::default(), hangs: true });
    let limits = RemoteLimits { deadline: Duration::from_millis(200), ..RemoteLimits::default() };
    let error = remote(&address_of(hung).await, limits).ask(&everything()).await.unwrap_err();
    assert!(matches!(error, LiveError::Unreachable { .. }) && error.to_string().contains("200ms"), "{error}");

    let error = remote(&address_of(fake(Err("not today"))).await, RemoteLimits::default());
    let error = error.ask(&everything()).await.unwrap_err();
    assert!(matches!(error, LiveError::Refused { .. }) && error.to_string().contains("not today"), "{error}");
    assert!(RemoteLive::connect(INGESTER, "no address", RemoteLimits::default()).is_err());
}

#[tokio::test]
async fn should_not_take_another_ingester_for_the_one_that_was_meant() {
    let address = address_of(fake(Ok(answer()))).await;
    let other = RemoteLive::connect(ObjectId(Ulid(8)), &address, RemoteLimits::default()).unwrap();
    let error = other.ask(&everything()).await.unwrap_err();
    assert!(matches!(error, LiveError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn should_bound_the_answer() {
    let address = address_of(fake(Ok(answer()))).await;
    let limits = RemoteLimits { answer_bytes: 100_000, ..RemoteLimits::default() };
    let error = remote(&address, limits).ask(&everything()).await.unwrap_err();
    assert!(matches!(error, LiveError::Refused { .. }) && error.to_string().contains("100000"), "{error}");
}

#[test]
fn should_notice_an_answer_that_lacks_spans() {
    let header = crate::wire::HeaderMessage::of(&answer()).read().unwrap();
    let receiver = Receiver::of(header, u64::MAX);
    assert!(matches!(
        receiver.finish(),
        Err(CallError::Unexpected("it has not the spans that it announced"))
    ));
}

#[test]
fn should_refuse_parts_that_do_not_belong_together() {
    let part = |segment, more| BatchMessage { segment, more, ..BatchMessage::default() };
    let receiver = || Receiver::of(crate::wire::HeaderMessage::of(&answer()).read().unwrap(), u64::MAX);
    assert!(receiver().add(part(3, false)).is_err());
    let mut begun = receiver();
    begun.add(part(0, true)).unwrap();
    assert!(begun.add(part(1, false)).is_err());
}
