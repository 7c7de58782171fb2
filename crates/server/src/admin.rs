//! The admin port: is it alive, is it ready, what does it count, what is it; and deleting, for whoever may.

// Deleting, and what became of it.
pub(crate) mod deletions;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;
use siltstone_catalog::time::Clock;
use siltstone_compactor::service::Compactor;
use siltstone_ingest::metrics::Metrics;
use siltstone_ingest::receive::connections::Answer;
use siltstone_querier::querier::Querier;
use siltstone_store::Secret;

use crate::delete::Deleter;
use crate::ingest::IngestCore;
use crate::run::Listening;
use crate::settings::{Resolved, Role};

/// What a process is at. Only a running one is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting = 0,
    Running = 1,
    Draining = 2,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Draining => "draining",
        }
    }
}

/// Answers on the admin port.
pub(crate) struct Admin {
    pub listening: Listening,
    pub role: Role,
    pub store: String,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    phase: AtomicU8,
    core: OnceLock<Arc<dyn IngestCore>>,
    querier: OnceLock<Arc<Querier>>,
    compactor: OnceLock<Arc<Compactor>>,
    /// Whoever has it may delete.
    token: Option<Secret>,
    deleter: OnceLock<Arc<Deleter>>,
}

impl Admin {
    pub(crate) fn new(
        settings: &Resolved,
        listening: Listening,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            listening,
            role: settings.role,
            store: settings.store.to_string(),
            metrics,
            clock,
            phase: AtomicU8::new(Phase::Starting as u8),
            core: OnceLock::new(),
            querier: OnceLock::new(),
            compactor: OnceLock::new(),
            token: settings.admin_token.clone(),
            deleter: OnceLock::new(),
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        tracing::info!(phase = phase.name(), "the process is");
        self.phase.store(phase as u8, Ordering::Release);
    }

    pub(crate) fn has_core(&self, core: Arc<dyn IngestCore>) {
        // There is one core, and it is set once.
        let _ = self.core.set(core);
    }

    pub(crate) fn has_querier(&self, querier: Arc<Querier>) {
        // The same.
        let _ = self.querier.set(querier);
    }

    pub(crate) fn has_compactor(&self, compactor: Arc<Compactor>) {
        // The same.
        let _ = self.compactor.set(compactor);
    }

    pub(crate) fn has_deleter(&self, deleter: Arc<Deleter>) {
        // The same.
        let _ = self.deleter.set(deleter);
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Running,
            _ => Phase::Draining,
        }
    }

    fn metrics(&self) -> String {
        let mut text = String::with_capacity(8 << 10);
        text.push_str(
            "# HELP siltstone_build_info The version that runs.\n# TYPE siltstone_build_info gauge\n",
        );
        text.push_str(concat!("siltstone_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n"));
        text.push_str("# HELP siltstone_ready Whether requests are taken.\n# TYPE siltstone_ready gauge\n");
        text.push_str(if self.phase() == Phase::Running {
            "siltstone_ready 1\n"
        } else {
            "siltstone_ready 0\n"
        });
        if let Some(core) = self.core.get() {
            core.observe();
        }
        self.metrics.render(&mut text);
        if let Some(querier) = self.querier.get() {
            querier.render_metrics(&mut text);
        }
        if let Some(compactor) = self.compactor.get() {
            compactor.metrics().render(&mut text);
        }
        text
    }

    fn status(&self) -> serde_json::Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "phase": self.phase().name(),
            "role": self.role.name(),
            "store": self.store,
            "uptime_seconds": self.clock.elapsed().as_secs(),
            "listen": self.listening.as_json(),
            "ingest": self.core.get().map(|core| core.status()),
            "compact": self.compactor.get().map(|compactor| of_compactor(compactor)),
        })
    }
}

/// What was merged and what waits, and how long that takes.
fn of_compactor(compactor: &Compactor) -> serde_json::Value {
    let counts = compactor.metrics().counts();
    json!({
        "waiting": {
            "blocks": counts.waiting_blocks,
            "spans": counts.waiting_rows,
            "bytes": counts.waiting_bytes,
            "oldest_unmerged_seconds": counts.oldest_unmerged_millis / 1_000,
            "seconds_to_drain": counts.drain_millis().map(|millis| millis / 1_000),
        },
        "merged": {
            "jobs": counts.jobs_done,
            "failed_jobs": counts.jobs_failed,
            "blocks_read": counts.blocks_read,
            "blocks_written": counts.blocks_written,
            "spans": counts.rows_read,
            "collapsed_spans": counts.rows_collapsed,
            "deleted_spans": counts.rows_deleted,
        },
        "objects_swept": counts.objects_swept,
        "unreadable_blocks": compactor.unreadable(),
    })
}

impl Answer for Admin {
    type Body = Full<Bytes>;

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path().starts_with(deletions::PATH) {
            let token = self.token.as_ref().map(Secret::reveal);
            return deletions::answer(token, self.deleter.get(), request).await;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is possible here\n".to_owned());
        }
        match request.uri().path() {
            "/live" => text(StatusCode::OK, "alive\n".to_owned()),
            "/ready" => {
                let phase = self.phase();
                let is_ready = phase == Phase::Running;
                let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                text(status, format!("{}\n", phase.name()))
            }
            "/metrics" => of_type("text/plain; version=0.0.4; charset=utf-8", self.metrics()),
            "/status" => of_type("application/json", format!("{:#}\n", self.status())),
            _ => text(StatusCode::NOT_FOUND, "there are /live, /ready, /metrics and /status\n".to_owned()),
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = of_type("text/plain; charset=utf-8", body);
    *response.status_mut() = status;
    response
}

fn of_type(content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
