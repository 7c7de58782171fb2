//! A server's process: started on a port that was free a moment ago, stopped when dropped.
//!
//! Another server may take the port first, answer in place of ours, and end before the test does. Two of ours
//! do not get the same: each holds its port at a second address of this machine, where no server listens.
//! Whoever else took it, ours ends, which is looked for.

use std::ffi::OsStr;
use std::fs::File;
use std::future::Future;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

/// Between two questions whether it is there.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// On a machine on which much else runs.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// The port may be taken between our choice and the server's start.
const ATTEMPTS: usize = 3;

/// Where a port is held, on Linux. Elsewhere the address has to be set up first, and nothing is held.
const HOLDER: Ipv4Addr = Ipv4Addr::new(127, 83, 73, 76);

/// All that a server gets of our environment: it must not find credentials, proxies or options in it.
const PASSED_ON: [&str; 2] = ["PATH", "TMPDIR"];

/// What sends the requests of a test elsewhere than to its server.
const PROXIES: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot {what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("{program} ended ({status}) before it answered, having said:\n{said}")]
    Ended { program: String, status: String, said: String },
    #[error(
        "{program} did not answer within {} s{}, having said:\n{said}",
        STARTS_WITHIN.as_secs(),
        why_not(proxies)
    )]
    Silent { program: String, said: String, proxies: Vec<&'static str> },
    #[error("{what}: {source}")]
    Store { what: &'static str, source: object_store::Error },
}

/// Ends the process when dropped. If the test is killed, the process stays.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    program: String,
    folder: TempDir,
    pub port: u16,
    _held: Option<TcpListener>,
}

impl Server {
    /// Starts a server until one keeps its port. `command` gets the port and a folder for the data; the
    /// server is there once `answers` says so of the port.
    pub(super) async fn start<F>(
        command: impl Fn(u16, &Path) -> Command,
        answers: impl Fn(u16) -> F,
    ) -> Result<Self, ServerError>
    where
        F: Future<Output = bool>,
    {
        let mut attempt = 1;
        loop {
            let mut server = Self::spawn(&command)?;
            match server.wait_for(&answers).await {
                Err(ServerError::Ended { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
                Ok(()) => return Ok(server),
            }
        }
    }

    fn spawn(command: impl Fn(u16, &Path) -> Command) -> Result<Self, ServerError> {
        let folder = tempfile::tempdir().map_err(io("make a temporary folder"))?;
        let data = folder.path().join("data");
        std::fs::create_dir(&data).map_err(io("make a folder for the data"))?;
        let (port, held) = free_port().map_err(io("find a free port"))?;

        let said = File::create(folder.path().join("said")).map_err(io("make a file for what it says"))?;
        let said_too = said.try_clone().map_err(io("share that file"))?;
        let mut command = command(port, &data);
        let program = command.get_program().to_string_lossy().into_owned();
        let own: Vec<_> =
            command.get_envs().map(|(name, value)| (name.to_owned(), value.map(OsStr::to_owned))).collect();
        command.env_clear();
        command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(own.into_iter().filter_map(|(name, value)| Some((name, value?))));
        // Nothing of ours: no home to write to.
        command.env("HOME", folder.path());
        let child = command.stdin(Stdio::null()).stdout(said).stderr(said_too).spawn();
        let child = child.map_err(|source| ServerError::Io { what: format!("start {program}"), source })?;
        Ok(Server { child, program, folder, port, _held: held })
    }

    #[expect(clippy::disallowed_methods, reason = "another process tells nobody when it is ready")]
    async fn wait_for<F>(&mut self, answers: impl Fn(u16) -> F) -> Result<(), ServerError>
    where
        F: Future<Output = bool>,
    {
        let port = self.port;
        let waiting = async {
            loop {
                let answered = answers(port).await;
                // Also when it answered: then that was another one.
                if let Some(status) = self.child.try_wait().map_err(io("look after the process"))? {
                    let (program, said) = (self.program.clone(), self.said());
                    return Err(ServerError::Ended { program, status: status.to_string(), said });
                }
                if answered {
                    return Ok(());
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        match timeout(STARTS_WITHIN, waiting).await {
            Ok(done) => done,
            Err(_) => Err(ServerError::Silent {
                program: self.program.clone(),
                said: self.said(),
                proxies: PROXIES.into_iter().filter(|name| std::env::var_os(name).is_some()).collect(),
            }),
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What fails here has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port, with what keeps others of our servers from having it too.
pub(super) fn free_port() -> std::io::Result<(u16, Option<TcpListener>)> {
    loop {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        match TcpListener::bind((HOLDER, port)) {
            Ok(held) => return Ok((port, Some(held))),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(_) => return Ok((port, None)),
        }
    }
}

fn why_not(proxies: &[&str]) -> String {
    if proxies.is_empty() {
        return String::new();
    }
    format!(" ({} may lead requests past it: set NO_PROXY=127.0.0.1)", proxies.join(", "))
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> ServerError {
    move |source| ServerError::Io { what: what.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn should_not_take_the_answer_of_another_server_for_its_own() {
        let mut server = Server::spawn(|_, _| shell("echo the port is taken; exit 3")).unwrap();
        server.child.wait().unwrap();
        let error = server.wait_for(async |_| true).await.unwrap_err();
        assert!(matches!(error, ServerError::Ended { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains("the port is taken") && said.contains('3'), "{said}");
    }

    #[test]
    fn should_hold_a_port_that_no_other_of_ours_gets() {
        let server = Server::spawn(|_, _| shell("exit 0")).unwrap();
        // Where the system has the address.
        if server._held.is_some() {
            let second = TcpListener::bind((HOLDER, server.port)).unwrap_err();
            assert_eq!(second.kind(), ErrorKind::AddrInUse);
        }
        TcpListener::bind((Ipv4Addr::LOCALHOST, server.port)).expect("the server itself can have it");
    }

    /// Cargo sets variables of its own, which stand for all.
    #[test]
    fn should_pass_on_nothing_but_what_a_server_needs() {
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "run by cargo");
        let mut server = Server::spawn(|_, _| {
            let mut command = shell("env");
            command.env("OWN", "1").env("HOME", "/nowhere");
            command
        })
        .unwrap();
        server.child.wait().unwrap();
        let said = server.said();
        let mut names: Vec<&str> = said.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        // The shell's own.
        names.retain(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name));
        names.sort_unstable();
        names.retain(|name| *name != "TMPDIR");
        assert_eq!(names, ["HOME", "OWN", "PATH"], "{said}");
        let home = format!("HOME={}", server.folder.path().display());
        assert!(said.lines().any(|line| line == home), "{said}");
    }

    #[test]
    fn should_name_the_proxies_that_may_be_why_a_server_is_silent() {
        let silent = |proxies| {
            ServerError::Silent { program: "p".to_owned(), said: String::new(), proxies }.to_string()
        };
        assert!(silent(vec!["http_proxy"]).contains("(http_proxy may lead requests past it"));
        assert!(!silent(vec![]).contains("NO_PROXY"));
    }
}
