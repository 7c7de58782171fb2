//! Whole processes, but for the signals, before a core that keeps nothing.

use std::sync::Mutex;

use async_trait::async_trait;
use siltstone_catalog::time::SystemClock;
use siltstone_format::tenant::Tenant;
use siltstone_ingest::budget::Budget;
use siltstone_ingest::export::{Accept, Accepted, Admission, Export, Refused};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, oneshot};

use super::*;
use crate::settings::Layers;

struct Core {
    budget: Budget,
    gate: Semaphore,
    waiting: Notify,
    events: Mutex<Vec<&'static str>>,
    fails: bool,
}

impl Core {
    fn new(fails: bool, open: bool) -> Arc<Self> {
        let budget = Budget::new(1 << 30, Arc::new(SystemClock::new()));
        let gate = Semaphore::new(usize::from(open));
        Arc::new(Self { budget, gate, waiting: Notify::new(), events: Mutex::default(), fails })
    }
}

#[async_trait]
impl Accept for Core {
    async fn admit(&self, _tenant: &Tenant, bytes: usize) -> Result<Admission, Refused> {
        Ok(Admission::new(self.budget.reserve(bytes, Duration::ZERO).await?))
    }

    async fn accept(&self, _export: Export, _admission: Admission) -> Result<Accepted, Refused> {
        self.waiting.notify_one();
        self.gate.acquire().await.unwrap().forget();
        self.events.lock().unwrap().push("accepted");
        Ok(Accepted { spans: 3, ..Accepted::default() })
    }
}

#[async_trait]
impl IngestCore for Core {
    async fn serve_live(self: Arc<Self>, _listener: TcpListener, stop: Stop) {
        stop.gently.cancelled().await;
        self.events.lock().unwrap().push("live stopped");
    }

    async fn finish(&self) -> Result<(), String> {
        self.events.lock().unwrap().push("flushed");
        if self.fails { Err("the store is away".to_owned()) } else { Ok(()) }
    }

    fn observe(&self) {}

    fn status(&self) -> serde_json::Value {
        serde_json::json!({ "kept": 0 })
    }
}

struct Process {
    core: Arc<Core>,
    listen: serde_json::Value,
    end: oneshot::Sender<()>,
    running: tokio::task::JoinHandle<Result<(), RunError>>,
}

fn free_ports(drain_deadline: &str) -> Resolved {
    let mut layers = Layers::defaults();
    let ports = ["otlp_grpc", "otlp_http", "live", "query", "query_grpc", "jaeger_storage", "admin"]
        .map(|name| format!("{name} = \"127.0.0.1:0\"\n"));
    let text = format!("drain_deadline = \"{drain_deadline}\"\n[listen]\n{}", ports.concat());
    layers.add_toml("test".as_ref(), &text).unwrap();
    Resolved::from_layers(&layers).unwrap()
}

impl Process {
    async fn start(core: Arc<Core>, drain_deadline: &str) -> Self {
        let settings = free_ports(drain_deadline);
        let (told, started) = oneshot::channel();
        let (end, ended) = oneshot::channel::<()>();
        let started_core = Arc::clone(&core);
        let running = tokio::spawn(async move {
            let start = |_, _| async {
                Ok(Parts { ingest: Some(started_core as _), query: None, compact: None, deleter: None })
            };
            let started = |line| told.send(line).unwrap();
            let end = async { ended.await.unwrap() };
            run(&settings, Arc::new(SystemClock::new()), start, started, end).await
        });
        let line: serde_json::Value = serde_json::from_str(&started.await.unwrap()).unwrap();
        assert_eq!(line["event"], "started");
        Self { core, listen: line["listen"].clone(), end, running }
    }

    async fn send(&self, port: &str, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.listen[port].as_str().unwrap()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        all(self.send("admin", &request).await).await
    }

    async fn export(&self) -> TcpStream {
        let request = "POST /v1/traces HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\
                       content-type: application/x-protobuf\r\n\r\n";
        self.send("otlp_http", request).await
    }
}

async fn all(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn should_tell_what_it_is_and_what_it_counted() {
    let process = Process::start(Core::new(false, true), "30s").await;
    assert!(all(process.export().await).await.starts_with("HTTP/1.1 200"));
    assert!(process.get("/live").await.starts_with("HTTP/1.1 200"));
    assert!(process.get("/ready").await.ends_with("running\n"));
    let metrics = process.get("/metrics").await;
    assert!(
        metrics.contains("\nsiltstone_ready 1\n") && metrics.contains("\nsiltstone_ingest_spans_total 3\n")
    );
    let status = process.get("/status").await;
    let (_, body) = status.split_once("\r\n\r\n").unwrap();
    let status: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&status["listen"], &status["ingest"]["kept"]), (&process.listen, &0.into()));
    assert!(process.get("/nothing").await.starts_with("HTTP/1.1 404"));
    process.end.send(()).unwrap();
    process.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn should_end_in_order() {
    let process = Process::start(Core::new(false, false), "30s").await;
    let busy = process.export().await;
    process.core.waiting.notified().await;
    process.end.send(()).unwrap();
    // Not ready any more, while the request is still under way.
    let ready = "GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    loop {
        let mut stream = TcpStream::connect(process.listen["admin"].as_str().unwrap()).await.unwrap();
        stream.write_all(ready.as_bytes()).await.unwrap();
        if all(stream).await.starts_with("HTTP/1.1 503") {
            break;
        }
    }
    process.core.gate.add_permits(1);
    assert!(all(busy).await.starts_with("HTTP/1.1 200"));
    process.running.await.unwrap().unwrap();
    assert_eq!(*process.core.events.lock().unwrap(), ["accepted", "flushed", "live stopped"]);
    for port in ["otlp_grpc", "otlp_http", "live", "admin"] {
        assert!(TcpStream::connect(process.listen[port].as_str().unwrap()).await.is_err(), "{port}");
    }
}

#[tokio::test]
async fn should_drop_what_does_not_end_by_the_deadline_and_say_so() {
    let process = Process::start(Core::new(false, false), "50ms").await;
    let busy = process.export().await;
    process.core.waiting.notified().await;
    process.end.send(()).unwrap();
    let error = process.running.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("the drain deadline has passed"), "{error}");
    assert_eq!(all(busy).await, "");
}

#[tokio::test]
async fn should_say_when_the_last_flush_failed() {
    let process = Process::start(Core::new(true, true), "30s").await;
    process.end.send(()).unwrap();
    let error = process.running.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("the store is away"), "{error}");
}

#[tokio::test]
async fn should_say_which_setting_has_a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = free_ports("30s");
    settings.listen.live = taken.local_addr().unwrap();
    let start = |_, _| async { Err(StartError("not reached".to_owned())) };
    let outcome = run(&settings, Arc::new(SystemClock::new()), start, |_| (), std::future::pending()).await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("listen.live") && error.contains(&settings.listen.live.to_string()), "{error}");
}
