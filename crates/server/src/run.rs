//! A process from its start to its orderly end.
//!
//! Start: sockets, ingester, receivers, ready. End, in this order: not ready; receivers take in no more and
//! answer what is under way; the ingester flushes; readers of live spans and the admin port go last. What is
//! not done by the deadline is dropped: acknowledged spans are in the log.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use siltstone_catalog::time::Clock;
use siltstone_ingest::metrics::Metrics;
use siltstone_ingest::receive::connections::{Bounds, Stop, serve};
use siltstone_ingest::receive::otlp::{Otlp, grpc::GrpcReceiver, http::HttpReceiver};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::admin::{Admin, Phase, listen_as_json};
use crate::ingest::{IngestCore, StartError};
use crate::settings::{Listen, Resolved};

/// The admin port's own bounds: it must answer when all else is full.
const ADMIN: Bounds = Bounds { connections: 64, idle: Duration::from_secs(60) };
/// What open connections of readers and of the admin port get at the very end.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

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

struct Sockets {
    otlp_grpc: TcpListener,
    otlp_http: TcpListener,
    live: TcpListener,
    admin: TcpListener,
    /// With the ports that were chosen for port 0.
    addresses: Listen,
}

/// Runs until `end` resolves and everything is in order. `start_core` is told where readers of live spans ask,
/// `started` all addresses.
pub async fn run<Start>(
    settings: &Resolved,
    clock: Arc<dyn Clock>,
    start_core: impl FnOnce(Arc<Metrics>, SocketAddr) -> Start,
    started: impl FnOnce(String),
    end: impl Future<Output = ()>,
) -> Result<(), RunError>
where
    Start: Future<Output = Result<Arc<dyn IngestCore>, StartError>>,
{
    let sockets = listen(&settings.listen).await?;
    let metrics = Arc::new(Metrics::default());
    let admin =
        Arc::new(Admin::new(settings, sockets.addresses.clone(), Arc::clone(&metrics), Arc::clone(&clock)));
    let (receivers_stop, readers_stop) = (Stop::default(), Stop::default());
    let (receivers, readers) = (TaskTracker::new(), TaskTracker::new());
    readers.spawn(serve(sockets.admin, Arc::clone(&admin), ADMIN, Arc::clone(&clock), readers_stop.clone()));
    let mut end = pin!(end);
    let core = tokio::select! {
        core = start_core(Arc::clone(&metrics), sockets.addresses.live) => core?,
        // Nothing was accepted yet.
        () = &mut end => return Ok(()),
    };
    admin.has_core(Arc::clone(&core));
    readers.spawn(Arc::clone(&core).serve_live(sockets.live, readers_stop.clone()));
    let otlp = Arc::new(Otlp {
        accept: Arc::clone(&core) as _,
        metrics,
        clock: Arc::clone(&clock),
        settings: settings.ingest.otlp.clone(),
    });
    let grpc = Arc::new(GrpcReceiver::new(Arc::clone(&otlp)).await);
    let http = Arc::new(HttpReceiver::new(otlp));
    let bounds = settings.ingest.connections;
    let stop = &receivers_stop;
    receivers.spawn(serve(sockets.otlp_grpc, Arc::clone(&grpc), bounds, Arc::clone(&clock), stop.clone()));
    receivers.spawn(serve(sockets.otlp_http, http, bounds, Arc::clone(&clock), stop.clone()));
    admin.enter(Phase::Running);
    started(started_line(&sockets.addresses));

    end.await;
    admin.enter(Phase::Draining);
    grpc.stops().await;
    let deadline = async { clock.sleep(settings.drain_deadline).await };
    let finished = drain(&*core, &receivers, &receivers_stop, deadline).await;
    readers_stop.gently.cancel();
    readers.close();
    tokio::select! {
        () = readers.wait() => {}
        () = clock.sleep(LAST_ANSWERS) => {}
    }
    readers_stop.now.cancel();
    readers.wait().await;
    finished
}

/// Receivers first, so that the flush holds all that was acknowledged.
async fn drain(
    core: &dyn IngestCore,
    receivers: &TaskTracker,
    stop: &Stop,
    deadline: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let mut deadline = pin!(deadline);
    stop.gently.cancel();
    receivers.close();
    let answered = tokio::select! {
        () = receivers.wait() => true,
        () = &mut deadline => false,
    };
    stop.now.cancel();
    receivers.wait().await;
    if !answered {
        tracing::warn!("the drain deadline has passed: requests under way were dropped, unanswered");
        return Err(RunError::Unfinished("the drain deadline has passed".to_owned()));
    }
    tokio::select! {
        finished = core.finish() => finished.map_err(RunError::Unfinished),
        () = &mut deadline => Err(RunError::Unfinished("the drain deadline has passed".to_owned())),
    }
}

async fn listen(settings: &Listen) -> Result<Sockets, RunError> {
    let (otlp_grpc, grpc_address) = bind("listen.otlp_grpc", settings.otlp_grpc).await?;
    let (otlp_http, http_address) = bind("listen.otlp_http", settings.otlp_http).await?;
    let (live, live_address) = bind("listen.live", settings.live).await?;
    let (admin, admin_address) = bind("listen.admin", settings.admin).await?;
    let addresses =
        Listen { otlp_grpc: grpc_address, otlp_http: http_address, live: live_address, admin: admin_address };
    Ok(Sockets { otlp_grpc, otlp_http, live, admin, addresses })
}

async fn bind(setting: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), RunError> {
    let failed = |source| RunError::Listen { setting, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// One line of JSON for programs that start this one.
fn started_line(addresses: &Listen) -> String {
    let line = serde_json::json!({
        "event": "started",
        "version": env!("CARGO_PKG_VERSION"),
        "listen": listen_as_json(addresses),
    });
    line.to_string()
}

#[cfg(test)]
mod tests;
