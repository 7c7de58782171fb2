//! A process from its start to its orderly end.
//!
//! Start: sockets, the parts of its role, their ports, ready. End, in this order: not ready; ports take in no more
//! and answer what is under way; the ingester flushes; queries get what is left of the time; readers of live spans
//! and the admin port go last, and deletions that were asked for there are waited for. What is not done by the
//! deadline is dropped: acknowledged spans are in the log.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use siltstone_catalog::time::Clock;
use siltstone_compactor::service::Compactor;
use siltstone_ingest::metrics::Metrics;
use siltstone_ingest::receive::connections::{Answer, Bounds, Stop, serve};
use siltstone_ingest::receive::otlp::{Otlp, grpc::GrpcReceiver, http::HttpReceiver};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{Admin, Phase};
use crate::delete::Deleter;
use crate::ingest::IngestCore;
use crate::parts::StartError;
use crate::query::QueryPorts;
use crate::settings::Resolved;
use crate::storage::{StoragePort, Writing};

/// The admin port's own bounds: it must answer when all else is full.
const ADMIN: Bounds = Bounds { connections: 64, idle: Duration::from_secs(60) };
/// What open connections of readers and of the admin port get at the very end.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// What deletions get that are under way, after all else.
const LAST_DELETIONS: Duration = Duration::from_secs(10);

/// Why a process did not start, or did not end in order.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("cannot listen on {address} (`{setting}`): {source}")]
    Listen { setting: &'static str, address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("not everything was flushed ({0}); the log holds it until the next start")]
    Unfinished(String),
}

/// Where a process of some role listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    pub otlp_grpc: Option<SocketAddr>,
    pub otlp_http: Option<SocketAddr>,
    pub live: Option<SocketAddr>,
    pub query: Option<SocketAddr>,
    pub query_grpc: Option<SocketAddr>,
    pub jaeger_storage: Option<SocketAddr>,
    pub admin: SocketAddr,
}

/// What a process of some role is made of.
pub struct Parts {
    pub ingest: Option<Arc<dyn IngestCore>>,
    pub query: Option<QueryPorts>,
    pub compact: Option<Arc<Compactor>>,
    /// None: nothing can be deleted over HTTP.
    pub deleter: Option<Arc<Deleter>>,
}

struct IngestSockets {
    otlp_grpc: TcpListener,
    otlp_http: TcpListener,
    live: TcpListener,
}

struct QuerySockets {
    query: TcpListener,
    query_grpc: TcpListener,
    jaeger_storage: TcpListener,
}

struct Sockets {
    ingest: Option<IngestSockets>,
    query: Option<QuerySockets>,
    admin: TcpListener,
    /// With the ports that were chosen for port 0.
    listening: Listening,
}

/// Servers of the same kind, and how they are told to end.
#[derive(Default)]
struct Servers {
    tasks: TaskTracker,
    stop: Stop,
}

/// Runs until `end` resolves and everything is in order. `start` is told where the process listens, `started` the
/// same as a line.
pub async fn run<Start>(
    settings: &Resolved,
    clock: Arc<dyn Clock>,
    start: impl FnOnce(Arc<Metrics>, Listening) -> Start,
    started: impl FnOnce(String),
    end: impl Future<Output = ()>,
) -> Result<(), RunError>
where
    Start: Future<Output = Result<Parts, StartError>>,
{
    let Sockets { ingest, query, admin: admin_socket, listening } = listen(settings).await?;
    let metrics = Arc::new(Metrics::default());
    let admin = Arc::new(Admin::new(settings, listening.clone(), Arc::clone(&metrics), Arc::clone(&clock)));
    let (receivers, queries, readers) = (Servers::default(), Servers::default(), Servers::default());
    readers.serve(admin_socket, Arc::clone(&admin), ADMIN, &clock);
    let mut end = pin!(end);
    let parts = tokio::select! {
        parts = start(Arc::clone(&metrics), listening.clone()) => parts?,
        // Nothing was accepted yet.
        () = &mut end => return Ok(()),
    };
    let mut grpc = None;
    if let (Some(sockets), Some(core)) = (ingest, &parts.ingest) {
        admin.has_core(Arc::clone(core));
        readers.tasks.spawn(Arc::clone(core).serve_live(sockets.live, readers.stop.clone()));
        let otlp = Arc::new(Otlp {
            accept: Arc::clone(core) as _,
            metrics,
            clock: Arc::clone(&clock),
            settings: settings.ingest.otlp.clone(),
        });
        let service = grpc.insert(Arc::new(GrpcReceiver::new(Arc::clone(&otlp)).await));
        let bounds = settings.ingest.connections;
        receivers.serve(sockets.otlp_grpc, Arc::clone(service), bounds, &clock);
        receivers.serve(sockets.otlp_http, Arc::new(HttpReceiver::new(otlp)), bounds, &clock);
    }
    if let (Some(sockets), Some(ports)) = (query, &parts.query) {
        admin.has_querier(Arc::clone(&ports.querier));
        let bounds = settings.query.connections;
        queries.serve(sockets.query, Arc::clone(&ports.query), bounds, &clock);
        queries.serve(sockets.query_grpc, Arc::clone(&ports.query_grpc), bounds, &clock);
        let writing = grpc.as_ref().map(|receiver| receivers.writing(receiver));
        let storage = StoragePort { reading: ports.jaeger_storage.clone(), writing };
        queries.serve(sockets.jaeger_storage, Arc::new(storage), bounds, &clock);
    }
    let merging = Merging::start(parts.compact.as_ref());
    if let Some(compactor) = &parts.compact {
        admin.has_compactor(Arc::clone(compactor));
    }
    if let Some(deleter) = &parts.deleter {
        admin.has_deleter(Arc::clone(deleter));
    }
    admin.enter(Phase::Running);
    started(started_line(&listening));

    end.await;
    admin.enter(Phase::Draining);
    merging.stop.cancel();
    if let Some(grpc) = grpc {
        grpc.stops().await;
    }
    if let Some(ports) = &parts.query {
        ports.stops().await;
    }
    let deadline = async { clock.sleep(settings.drain_deadline).await };
    let finished = drain(parts.ingest.as_deref(), &receivers, &queries, deadline).await;
    merging.tasks.wait().await;
    readers.stop.gently.cancel();
    readers.tasks.close();
    tokio::select! {
        () = readers.tasks.wait() => {}
        () = clock.sleep(LAST_ANSWERS) => {}
    }
    readers.end().await;
    if let Some(deleter) = &parts.deleter {
        tokio::select! {
            () = deleter.finish() => {}
            () = clock.sleep(LAST_DELETIONS) => tracing::warn!(
                "a deletion was given up: `siltstone deletion` tells whether it is in force"
            ),
        }
    }
    finished
}

/// The compactor's thread. What it has begun is given up at the end, and nothing is lost by that.
struct Merging {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Merging {
    fn start(compactor: Option<&Arc<Compactor>>) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        if let Some(compactor) = compactor.map(Arc::clone) {
            let (stop, runtime) = (stop.clone(), tokio::runtime::Handle::current());
            tasks.spawn_blocking(move || runtime.block_on(compactor.run(&stop)));
        }
        tasks.close();
        Self { tasks, stop }
    }
}

impl Servers {
    fn serve<A: Answer>(&self, socket: TcpListener, answer: Arc<A>, bounds: Bounds, clock: &Arc<dyn Clock>) {
        self.tasks.spawn(serve(socket, answer, bounds, Arc::clone(clock), self.stop.clone()));
    }

    /// Writing on a port of others, which ends with these.
    fn writing(&self, receiver: &Arc<GrpcReceiver>) -> Writing {
        let (receiver, under_way) = (Arc::clone(receiver), self.tasks.clone());
        Writing { receiver, stop: self.stop.clone(), under_way }
    }

    fn take_no_more(&self) {
        self.stop.gently.cancel();
        self.tasks.close();
    }

    async fn end(&self) {
        self.stop.now.cancel();
        self.tasks.wait().await;
    }
}

/// Receivers first, so that the flush holds all that was acknowledged; the flush before queries, which may be asked
/// again.
async fn drain(
    core: Option<&dyn IngestCore>,
    receivers: &Servers,
    queries: &Servers,
    deadline: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let late = || RunError::Unfinished("the drain deadline has passed".to_owned());
    let mut deadline = pin!(deadline);
    receivers.take_no_more();
    queries.take_no_more();
    let answered = tokio::select! {
        () = receivers.tasks.wait() => true,
        () = &mut deadline => false,
    };
    receivers.end().await;
    if !answered {
        tracing::warn!("the drain deadline has passed: requests under way were dropped, unanswered");
        queries.end().await;
        return Err(late());
    }
    let flushed = match core {
        Some(core) => tokio::select! {
            finished = core.finish() => finished.map_err(RunError::Unfinished),
            () = &mut deadline => Err(late()),
        },
        None => Ok(()),
    };
    if flushed.is_ok() {
        tokio::select! {
            () = queries.tasks.wait() => {}
            () = &mut deadline => tracing::warn!("the drain deadline has passed: queries under way were dropped"),
        }
    }
    queries.end().await;
    flushed
}

async fn listen(settings: &Resolved) -> Result<Sockets, RunError> {
    let wanted = &settings.listen;
    let (mut ingest, mut query) = (None, None);
    let (admin, address) = bind("listen.admin", wanted.admin).await?;
    let mut listening = Listening {
        otlp_grpc: None,
        otlp_http: None,
        live: None,
        query: None,
        query_grpc: None,
        jaeger_storage: None,
        admin: address,
    };
    if settings.role.ingests() {
        let (otlp_grpc, grpc_address) = bind("listen.otlp_grpc", wanted.otlp_grpc).await?;
        let (otlp_http, http_address) = bind("listen.otlp_http", wanted.otlp_http).await?;
        let (live, live_address) = bind("listen.live", wanted.live).await?;
        listening.otlp_grpc = Some(grpc_address);
        listening.otlp_http = Some(http_address);
        listening.live = Some(live_address);
        ingest = Some(IngestSockets { otlp_grpc, otlp_http, live });
    }
    if settings.role.queries() {
        let (socket, address) = bind("listen.query", wanted.query).await?;
        let (query_grpc, grpc_address) = bind("listen.query_grpc", wanted.query_grpc).await?;
        let (jaeger_storage, storage_address) = bind("listen.jaeger_storage", wanted.jaeger_storage).await?;
        listening.query = Some(address);
        listening.query_grpc = Some(grpc_address);
        listening.jaeger_storage = Some(storage_address);
        query = Some(QuerySockets { query: socket, query_grpc, jaeger_storage });
    }
    Ok(Sockets { ingest, query, admin, listening })
}

async fn bind(setting: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), RunError> {
    let failed = |source| RunError::Listen { setting, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// One line of JSON for programs that start this one.
fn started_line(listening: &Listening) -> String {
    let line = serde_json::json!({
        "event": "started",
        "version": env!("CARGO_PKG_VERSION"),
        "listen": listening.as_json(),
    });
    line.to_string()
}

impl Listening {
    pub(crate) fn as_json(&self) -> serde_json::Value {
        let text = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        let all = [
            ("otlp_grpc", text(self.otlp_grpc)),
            ("otlp_http", text(self.otlp_http)),
            ("live", text(self.live)),
            ("query", text(self.query)),
            ("query_grpc", text(self.query_grpc)),
            ("jaeger_storage", text(self.jaeger_storage)),
            ("admin", text(Some(self.admin))),
        ];
        all.into_iter().filter_map(|(name, address)| Some((name, address?))).collect()
    }
}

#[cfg(test)]
mod tests;
