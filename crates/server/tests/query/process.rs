//! The program as a process, and requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

pub(crate) struct Process {
    child: Child,
    pub(crate) listen: Value,
}

impl Process {
    pub(crate) fn start(role: &str, data: &Path, store: &Path) -> Self {
        Self::start_with(role, data, store, &[])
    }

    /// With more arguments.
    pub(crate) fn start_with(role: &str, data: &Path, store: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_siltstone"));
        command.args(["--role", role, "--log", "warn"]).arg("--data").arg(data);
        command.arg("--store").arg(format!("file:{}", store.display()));
        for listener in ["otlp-grpc", "otlp-http", "live", "query", "query-grpc", "jaeger-storage", "admin"] {
            command.arg(format!("--listen-{listener}")).arg("127.0.0.1:0");
        }
        let mut child = command.args(more).env_clear().stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap();
        Self { child, listen: started["listen"].clone() }
    }

    pub(crate) fn ask(&self, port: &str, request: &str, body: &str) -> (String, String) {
        self.ask_as("application/json", port, request, body)
    }

    pub(crate) fn ask_as(&self, kind: &str, port: &str, request: &str, body: &str) -> (String, String) {
        ask_at(self.listen[port].as_str().unwrap(), kind, request, body)
    }

    pub(crate) fn sql(&self, statement: &str) -> Value {
        let (head, body) = self.ask("query", "POST /api/sql", statement);
        assert!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{head}\n{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Fails if its metrics do not come to say this: a query is over a moment after its answer.
    pub(crate) fn counts(&self, line: &str) {
        let says = |text: &str| text.lines().any(|found| found == line);
        let is_said = (0..1_000).any(|_| says(&self.ask("admin", "GET /metrics", "").1));
        assert!(is_said, "the metrics never said {line}: {}", self.ask("admin", "GET /metrics", "").1);
    }

    pub(crate) fn end(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Head and body of an answer, from whoever listens there.
pub(crate) fn ask_at(address: &str, kind: &str, request: &str, body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    // A body that comes in chunks would have to be put together.
    let head = format!("{request} HTTP/1.0\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
    write!(stream, "{head}content-type: {kind}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}
