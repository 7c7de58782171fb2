//! Jaeger: its collector and its query service in one process, whose spans another server keeps.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::process::{Server, ServerError, free_port};

/// One process that is asked at one port and is sent spans at another.
#[derive(Debug)]
pub struct Jaeger {
    server: Server,
    otlp_port: u16,
}

impl Jaeger {
    /// `storage` speaks Jaeger's protocol for remote storage, without TLS, and takes OTLP; `metrics` is asked as a
    /// Prometheus is.
    pub async fn start(
        program: PathBuf,
        storage: SocketAddr,
        metrics: SocketAddr,
    ) -> Result<Self, ServerError> {
        // A new one each time: one that was taken meanwhile is why a process ends before it answers.
        let otlp_port = Mutex::new(0);
        let command = |port: u16, data: &Path| {
            let (chosen, _held) = free_port().unwrap_or_default();
            *otlp_port.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = chosen;
            let settings = data.join("jaeger.yaml");
            // If it cannot be written, Jaeger says so.
            let _ = std::fs::write(&settings, settings_of(port, chosen, storage, metrics));
            let mut command = Command::new(&program);
            command.arg("--config").arg(settings);
            command
        };
        let server = Server::start(command, answers).await?;
        let otlp_port = otlp_port.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        Ok(Self { server, otlp_port })
    }

    /// Where it is asked, over HTTP.
    pub fn query(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.server.port).into()
    }

    /// Where it takes OTLP, over HTTP.
    pub fn otlp_http(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.otlp_port).into()
    }
}

/// Without a batch processor and without a queue, so that a sender is answered when the storage has answered.
fn settings_of(query_port: u16, otlp_port: u16, storage: SocketAddr, metrics: SocketAddr) -> String {
    format!(
        "\
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [jaeger_storage_exporter]
  telemetry:
    metrics:
      level: none
extensions:
  jaeger_storage:
    backends:
      siltstone:
        grpc:
          endpoint: {storage}
          tls:
            insecure: true
    metric_backends:
      siltstone_metrics:
        prometheus:
          endpoint: http://{metrics}
          normalize_calls: true
          normalize_duration: true
  jaeger_query:
    storage:
      traces: siltstone
      metrics: siltstone_metrics
    http:
      endpoint: 127.0.0.1:{query_port}
    grpc:
      endpoint: 127.0.0.1:0
receivers:
  otlp:
    protocols:
      http:
        endpoint: 127.0.0.1:{otlp_port}
exporters:
  jaeger_storage_exporter:
    trace_storage: siltstone
"
    )
}

/// Its page, which needs no storage.
async fn answers(port: u16) -> bool {
    asked(port).await.is_ok_and(|answer| answer.starts_with(b"HTTP/1.0 200"))
}

async fn asked(port: u16) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}
