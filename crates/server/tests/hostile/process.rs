//! The program as a process whose memory and numbers are watched.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server with a small memory. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    pub(crate) http: String,
    pub(crate) grpc: String,
    pub(crate) live: String,
    admin: String,
    folder: TempDir,
}

impl Process {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let errors = std::fs::File::create(folder.path().join("stderr")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_siltstone"));
        command.current_dir(folder.path()).env_clear().env("RUST_BACKTRACE", "1");
        command.args(["--role", "ingest"]).args(arguments);
        for listener in ["--listen-otlp-grpc", "--listen-otlp-http", "--listen-live", "--listen-admin"] {
            command.args([listener, "127.0.0.1:0"]);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = || std::fs::read_to_string(folder.path().join("stderr")).unwrap_or_default();
        let started: serde_json::Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("it did not start; it said `{line}`, and:\n{}", said()));
        let address = |name: &str| started["listen"][name].as_str().unwrap().to_owned();
        Self {
            http: address("otlp_http"),
            grpc: address("otlp_grpc"),
            live: address("live"),
            admin: address("admin"),
            child,
            folder,
        }
    }

    /// The most memory that it ever had, in MiB: what the system counts, not what it says of itself.
    pub(crate) fn peak_mebibytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
    }

    pub(crate) fn numbers(&self) -> Numbers {
        Numbers { page: self.admin("/metrics") }
    }

    fn admin(&self, path: &str) -> String {
        let mut connection = TcpStream::connect(&self.admin).unwrap();
        write!(connection, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        connection.read_to_string(&mut page).unwrap();
        page
    }

    /// Until all that was acknowledged is in blocks. Gives how many spans those are.
    #[expect(clippy::disallowed_methods, reason = "a hung process must not hang the test")]
    pub(crate) fn flush(&self) -> u64 {
        let begun = Instant::now();
        loop {
            let numbers = self.numbers();
            let (spans, flushed) = (numbers.of("spans_total"), numbers.of("flushed_spans_total"));
            assert!(flushed <= spans, "more was flushed than acknowledged");
            if flushed == spans && numbers.of("live_spans") == 0 {
                return spans;
            }
            let live = numbers.of("live_spans");
            assert!(
                // A disk that is still taking what was built just before lets a sync wait for that.
                begun.elapsed() < Duration::from_secs(60),
                "{spans} acknowledged, {flushed} flushed, {live} live\n{}\n{}",
                self.said(),
                self.admin("/status")
            );
            std::thread::yield_now();
        }
    }

    /// It lives, and nothing in it has ended that should not.
    pub(crate) fn is_well(&mut self) {
        let said = self.said();
        assert!(self.child.try_wait().unwrap().is_none(), "it has ended by itself:\n{said}");
        assert!(!said.contains("panicked"), "{said}");
    }

    /// As a service manager ends it: it must say that all is well. Takes some seconds, in which readers get to
    /// know where its spans are now.
    pub(crate) fn end(mut self) {
        self.is_well();
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let said = self.said();
        assert!(status.success() && !said.contains("panicked"), "{status}:\n{said}");
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A page of metrics.
pub(crate) struct Numbers {
    page: String,
}

impl Numbers {
    /// By the name without its prefix, with its labels.
    pub(crate) fn of(&self, name: &str) -> u64 {
        let values = self
            .page
            .lines()
            .find_map(|line| line.strip_prefix("siltstone_ingest_")?.strip_prefix(name)?.strip_prefix(' '));
        values.unwrap_or_else(|| panic!("no {name} in {}", self.page)).parse().unwrap()
    }
}
