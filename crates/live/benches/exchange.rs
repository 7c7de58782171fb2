//! A question and its answer over a port of this machine: encoding, network and decoding of 20,000 spans.

#![expect(clippy::unwrap_used, reason = "a bench has nobody to tell")]

use std::sync::Arc;

use async_trait::async_trait;
use divan::Bencher;
use divan::counter::ItemsCount;
use siltstone_ask::Window;
use siltstone_format::id::{ObjectId, WriterId};
use siltstone_format::tenant::Tenant;
use siltstone_live::answer::{Answer, LiveSegment};
use siltstone_live::question::{Question, Wanted};
use siltstone_live::source::{LiveError, LiveSource};
use siltstone_live::{RemoteLimits, RemoteLive, serve};
use siltstone_tests::blocks::traffic_columns;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use ulid::Ulid;

const SPANS: usize = 20_000;
const INGESTER: ObjectId = ObjectId(Ulid(1));

struct Fixed(Answer);

#[async_trait]
impl LiveSource for Fixed {
    fn name(&self) -> &str {
        "fixed"
    }

    async fn ask(&self, _: &Question) -> Result<Answer, LiveError> {
        Ok(self.0.clone())
    }
}

fn main() {
    divan::main();
}

#[divan::bench(args = [600, 1_000])]
fn exchange(bencher: Bencher<'_, '_>, bytes_per_span: u32) {
    let spans = traffic_columns(SPANS, bytes_per_span, 1).unwrap();
    let count = spans.len();
    let segment =
        LiveSegment { writer: WriterId(Ulid(2)), number: 0, known_deletions: 0, spans: spans.into() };
    let source = Arc::new(Fixed(Answer { segments: vec![segment], ..Answer::default() }));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let remote = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder().add_service(serve(INGESTER, source));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        RemoteLive::connect(INGESTER, &address, RemoteLimits::default()).unwrap()
    });
    let wanted = Wanted::Matching { filter: None, window: Window::ALL };
    let question = Question { tenant: Tenant::single(), wanted };
    bencher.counter(ItemsCount::new(count)).bench(|| {
        let answer = runtime.block_on(remote.ask(&question)).unwrap();
        assert_eq!(answer.segments[0].spans.len(), count);
        answer
    });
}
