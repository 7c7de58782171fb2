//! The program as a process, started and killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server that runs. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    pub(crate) http: String,
    pub(crate) grpc: String,
    pub(crate) live: String,
    admin: String,
}

impl Process {
    /// Starts it in a folder, and waits until it says that it has started.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_as(Command::new(env!("CARGO_BIN_EXE_siltstone")), folder, arguments)
    }

    /// The same, with no file larger than so many KiB.
    pub(crate) fn start_with_small_files(folder: &Path, kibibytes: u32, arguments: &[&str]) -> Self {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("ulimit -f {kibibytes}; exec \"$0\" \"$@\"")]);
        shell.arg(env!("CARGO_BIN_EXE_siltstone"));
        Self::start_as(shell, folder, arguments)
    }

    fn start_as(mut command: Command, folder: &Path, arguments: &[&str]) -> Self {
        command.current_dir(folder).env_clear().env("RUST_BACKTRACE", "1");
        command.args(["--role", "ingest"]);
        for listener in ["--listen-otlp-grpc", "--listen-otlp-http", "--listen-live", "--listen-admin"] {
            command.args([listener, "127.0.0.1:0"]);
        }
        let errors = std::fs::File::options().create(true).append(true).open(folder.join("stderr"));
        command.args(arguments).stdout(Stdio::piped()).stderr(errors.unwrap());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = std::fs::read_to_string(folder.join("stderr")).unwrap_or_default();
        let started: serde_json::Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("it did not start; it said `{line}`, and:\n{said}"));
        let address = |name: &str| started["listen"][name].as_str().unwrap().to_owned();
        Self {
            http: address("otlp_http"),
            grpc: address("otlp_grpc"),
            live: address("live"),
            admin: address("admin"),
            child,
        }
    }

    /// As `kill -9` does it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The body of a page of the admin port.
    pub(crate) fn admin(&self, path: &str) -> String {
        let mut connection = TcpStream::connect(&self.admin).unwrap();
        write!(connection, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub(crate) fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.admin("/status")).unwrap()
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.admin("/metrics");
        let mut lines = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        lines.next().unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
