//! What ingesting costs: starts the real server, sends generated requests from this process over loopback, and
//! reads the server's processor time and peak memory from the system.
//!
//! ```sh
//! cargo build --release -p siltstone-server
//! cargo run --release -p siltstone-tests --example ingest_load -- target/release/siltstone
//! ```
//!
//! After the program come words: `http` or `grpc`, `none`, `gzip` or `zstd` (the last two over HTTP only), `spans=1000000`, `connections=4`,
//! `rate=500000` (spans a second; without it as fast as answers come), `per-request=1000`, `away=60` (the store is
//! MinIO, so many milliseconds off, and so is the log), and everything after `--` goes to the server. Linux only.

mod away;

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prost::Message;
use siltstone_traffic::{Profile, Traffic, TrafficConfig};

type Failure = Box<dyn Error + Send + Sync>;

struct Plan {
    program: PathBuf,
    grpc: bool,
    encoding: Encoding,
    spans: usize,
    connections: usize,
    rate: Option<f64>,
    per_request: usize,
    /// None: a folder.
    store_away: Option<Duration>,
    server_arguments: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Encoding {
    None,
    Gzip,
    Zstd,
}

impl Plan {
    fn of(arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut arguments = arguments.skip(1);
        let program = arguments.next().ok_or("which program?")?.into();
        let mut plan = Self {
            program,
            grpc: false,
            encoding: Encoding::None,
            spans: 1_000_000,
            connections: 4,
            rate: None,
            per_request: 1_000,
            store_away: None,
            server_arguments: Vec::new(),
        };
        while let Some(word) = arguments.next() {
            match word.split_once('=').unwrap_or((&word, "")) {
                ("http", _) => plan.grpc = false,
                ("grpc", _) => plan.grpc = true,
                ("none", _) => plan.encoding = Encoding::None,
                ("gzip", _) => plan.encoding = Encoding::Gzip,
                ("zstd", _) => plan.encoding = Encoding::Zstd,
                ("spans", count) => plan.spans = count.parse()?,
                ("connections", count) => plan.connections = count.parse()?,
                ("rate", rate) => plan.rate = Some(rate.parse()?),
                ("per-request", count) => plan.per_request = count.parse()?,
                ("away", millis) => plan.store_away = Some(Duration::from_millis(millis.parse()?)),
                ("--", _) => plan.server_arguments.extend(arguments.by_ref()),
                _ => return Err(format!("what is `{word}`?").into()),
            }
        }
        Ok(plan)
    }

    fn requests(&self) -> Result<(Vec<Vec<u8>>, usize, usize), Failure> {
        let config = TrafficConfig {
            spans: self.spans,
            profile: Profile::LEAN,
            request_spans: self.per_request,
            // Just now: not refused as too new, nor as too old.
            start_unix_nano: now_unix_nano() - 400_000_000_000,
            ..TrafficConfig::default()
        };
        let (mut spans, mut bytes, mut requests) = (0, 0, Vec::new());
        for batch in Traffic::new(config) {
            let scopes = batch.request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
            spans += scopes.map(|scope| scope.spans.len()).sum::<usize>();
            let body = batch.request.encode_to_vec();
            bytes += body.len();
            requests.push(match self.encoding {
                Encoding::None => body,
                Encoding::Gzip => {
                    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
                    writer.write_all(&body)?;
                    writer.finish()?
                }
                Encoding::Zstd => zstd::bulk::compress(&body, 3)?,
            });
        }
        Ok((requests, spans, bytes))
    }
}

#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "spans must look as if they came from now")]
fn now_unix_nano() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_nanos() as u64)
}

/// The server as a process, stopped when dropped.
struct Server {
    child: Child,
    http: String,
    grpc: String,
    admin: String,
}

impl Server {
    fn start(
        plan: &Plan,
        folder: &std::path::Path,
        store: Option<&away::StoreAway>,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(&plan.program);
        if let Some(store) = store {
            command
                .env_remove("SILTSTONE_MINIO")
                .envs(store.settings())
                .args(["--ingest-durability", "object"]);
        }
        let mut child = command
            .current_dir(folder)
            .args(["--role", "ingest", "--listen-otlp-http", "127.0.0.1:0"])
            .args(["--listen-otlp-grpc", "127.0.0.1:0", "--listen-live", "127.0.0.1:0"])
            .args(["--listen-admin", "127.0.0.1:0", "--log", "warn"])
            // The last spans are flushed soon, so that all of the work is seen.
            .args(["--ingest-small-tenant-age", "2s", "--ingest-large-tenant-age", "2s"])
            .args(&plan.server_arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("the server has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let said: serde_json::Value = serde_json::from_str(&line)?;
        let address = |name: &str| {
            said["listen"][name].as_str().map(str::to_owned).ok_or_else(|| format!("no {name} in {line}"))
        };
        Ok(Self { http: address("otlp_http")?, grpc: address("otlp_grpc")?, admin: address("admin")?, child })
    }

    /// Seconds of processor time, in user and in system mode.
    fn processor(&self) -> Result<(f64, f64), Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> =
            stat.rsplit_once(')').ok_or("an odd stat")?.1.split_ascii_whitespace().collect();
        // A tick is a hundredth of a second on every Linux that there is.
        let ticks = |index: usize| fields[index].parse::<f64>().map(|ticks| ticks / 100.0);
        Ok((ticks(11)?, ticks(12)?))
    }

    fn peak_megabytes(&self) -> Result<f64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM")).ok_or("no VmHWM")?;
        Ok(line.split_ascii_whitespace().nth(1).ok_or("an odd status")?.parse::<f64>()? / 1024.0)
    }

    fn metric(&self, name: &str) -> Result<f64, Failure> {
        let mut connection = TcpStream::connect(&self.admin)?;
        write!(connection, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        let line =
            answer.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        Ok(line.ok_or_else(|| format!("no metric {name}"))?.rsplit(' ').next().unwrap_or("").parse()?)
    }

    /// Until all that came is in blocks that are committed.
    #[expect(clippy::disallowed_methods, reason = "another process tells nobody when it is done")]
    fn wait_until_flushed(&self, spans: usize) -> Result<(), Failure> {
        let began = now();
        while (self.metric("siltstone_ingest_flushed_spans_total")? as usize) < spans {
            if began.elapsed_since() > Duration::from_secs(120) {
                return Err("not flushed within two minutes".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

trait Since {
    fn elapsed_since(&self) -> Duration;
}

impl Since for Instant {
    fn elapsed_since(&self) -> Duration {
        now().duration_since(*self)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection that sends requests and waits for each answer.
enum Sender {
    Http { connection: TcpStream, head: String },
    Grpc { client: Box<tonic::client::Grpc<tonic::transport::Channel>>, runtime: tokio::runtime::Runtime },
}

impl Sender {
    fn connect(plan: &Plan, server: &Server) -> Result<Self, Failure> {
        if plan.grpc {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let endpoint = tonic::transport::Endpoint::try_from(format!("http://{}", server.grpc))?;
            let channel = runtime.block_on(endpoint.connect())?;
            if plan.encoding != Encoding::None {
                return Err("gRPC is sent uncompressed only".into());
            }
            return Ok(Self::Grpc { client: Box::new(tonic::client::Grpc::new(channel)), runtime });
        }
        let connection = TcpStream::connect(&server.http)?;
        connection.set_nodelay(true)?;
        let encoding = match plan.encoding {
            Encoding::None => "",
            Encoding::Gzip => "Content-Encoding: gzip\r\n",
            Encoding::Zstd => "Content-Encoding: zstd\r\n",
        };
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-protobuf\r\n{encoding}",
            server.http
        );
        Ok(Self::Http { connection, head })
    }

    /// Whether it was acknowledged; false: the server is full.
    fn send(&mut self, body: &[u8]) -> Result<bool, Failure> {
        match self {
            Self::Http { connection, head } => {
                let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
                connection.write_all(head.as_bytes())?;
                connection.write_all(body)?;
                let status = read_answer(connection)?;
                match status {
                    200 => Ok(true),
                    429 | 503 => Ok(false),
                    other => Err(format!("status {other}").into()),
                }
            }
            Self::Grpc { client, runtime } => {
                let path = tonic::codegen::http::uri::PathAndQuery::from_static(
                    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                );
                let body = bytes::Bytes::copy_from_slice(body);
                let answer = runtime.block_on(async {
                    client.ready().await?;
                    let answer: Result<tonic::Response<bytes::Bytes>, tonic::Status> =
                        client.unary(tonic::Request::new(body), path, raw::RawCodec).await;
                    Ok::<_, Failure>(answer)
                })?;
                match answer {
                    Ok(_) => Ok(true),
                    Err(status)
                        if matches!(
                            status.code(),
                            tonic::Code::ResourceExhausted | tonic::Code::Unavailable
                        ) =>
                    {
                        Ok(false)
                    }
                    Err(status) => Err(status.into()),
                }
            }
        }
    }
}

fn read_answer(connection: &mut TcpStream) -> Result<u16, Failure> {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let read = connection.read(&mut piece)?;
        if read == 0 {
            return Err("the server hung up".into());
        }
        answer.extend_from_slice(&piece[..read]);
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(Ok(0), |length| length.trim().parse())?;
        if answer.len() >= end + 4 + length {
            return Ok(head.split(' ').nth(1).unwrap_or("").parse()?);
        }
    }
}

/// Bodies as they are.
mod raw {
    use bytes::{Buf, BufMut, Bytes};
    use tonic::Status;
    use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

    #[derive(Default)]
    pub(super) struct RawCodec;

    impl Codec for RawCodec {
        type Encode = Bytes;
        type Decode = Bytes;
        type Encoder = Self;
        type Decoder = Self;

        fn encoder(&mut self) -> Self {
            Self
        }

        fn decoder(&mut self) -> Self {
            Self
        }
    }

    impl Encoder for RawCodec {
        type Item = Bytes;
        type Error = Status;

        fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
            buffer.put(item);
            Ok(())
        }
    }

    impl Decoder for RawCodec {
        type Item = Bytes;
        type Error = Status;

        fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
            Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
        }
    }
}

struct Sent {
    millis: Vec<f64>,
    refused: usize,
}

/// Sends all requests over all connections; with a rate, each at its time, whatever the answers do.
fn send_all(
    plan: &Plan,
    server: &Server,
    requests: &[Vec<u8>],
    spans: usize,
) -> Result<(Sent, f64), Failure> {
    let next = AtomicUsize::new(0);
    let began = now();
    let interval = plan.rate.map(|rate| spans as f64 / requests.len() as f64 / rate);
    let work = || -> Result<Sent, Failure> {
        let mut sender = Sender::connect(plan, server)?;
        let mut sent = Sent { millis: Vec::new(), refused: 0 };
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(body) = requests.get(number) else { return Ok(sent) };
            let due = interval.map_or_else(now, |interval| {
                let due = began + Duration::from_secs_f64(interval * number as f64);
                wait_until(due);
                due
            });
            while !sender.send(body)? {
                sent.refused += 1;
                wait_until(now() + Duration::from_millis(50));
            }
            sent.millis.push(due.elapsed_since().as_secs_f64() * 1e3);
        }
    };
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.connections).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a sender panicked".into())))
            .collect::<Result<Vec<Sent>, Failure>>()
    })?;
    let seconds = began.elapsed_since().as_secs_f64();
    let mut sum = Sent { millis: Vec::new(), refused: 0 };
    for sent in all {
        sum.millis.extend(sent.millis);
        sum.refused += sent.refused;
    }
    sum.millis.sort_by(f64::total_cmp);
    Ok((sum, seconds))
}

#[expect(clippy::disallowed_methods, reason = "a request is sent at its time")]
fn wait_until(time: Instant) {
    std::thread::sleep(time.saturating_duration_since(now()));
}

fn main() -> Result<(), Failure> {
    let plan = Plan::of(std::env::args())?;
    let program = plan.program.canonicalize()?;
    let plan = Plan { program, ..plan };
    let (requests, spans, bytes) = plan.requests()?;
    let folder = tempfile::tempdir()?;
    let store = plan.store_away.map(away::StoreAway::start).transpose()?;
    let server = Server::start(&plan, folder.path(), store.as_ref())?;
    let idle = server.processor()?;
    let (sent, seconds) = send_all(&plan, &server, &requests, spans)?;
    server.wait_until_flushed(spans)?;
    let (user, system) = server.processor()?;
    let cpu = user + system - idle.0 - idle.1;
    let at = |share: f64| sent.millis[((sent.millis.len() - 1) as f64 * share) as usize];
    println!(
        "{} {}: {spans} spans in {} requests, {:.0} B a span, {:.0} spans/s",
        if plan.grpc { "grpc" } else { "http" },
        match plan.encoding {
            Encoding::None => "none",
            Encoding::Gzip => "gzip",
            Encoding::Zstd => "zstd",
        },
        requests.len(),
        bytes as f64 / spans as f64,
        spans as f64 / seconds,
    );
    println!(
        "  server: {:.2} µs a span ({:.2} user, {:.2} system), peak {:.0} MB",
        cpu * 1e6 / spans as f64,
        (user - idle.0) * 1e6 / spans as f64,
        (system - idle.1) * 1e6 / spans as f64,
        server.peak_megabytes()?,
    );
    println!(
        "  answers: p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms; refused for now {}",
        at(0.5),
        at(0.99),
        at(1.0),
        sent.refused,
    );
    Ok(())
}
