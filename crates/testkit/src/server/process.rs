//! A server's process: started on a port that was free a moment ago, stopped when dropped.

use std::fs::File;
use std::future::Future;
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

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot {what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("{program} ended ({status}) before it answered, having said:\n{said}")]
    Ended { program: String, status: String, said: String },
    #[error("{program} did not answer within {} s, having said:\n{said}", STARTS_WITHIN.as_secs())]
    Silent { program: String, said: String },
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
        let port = free_port().map_err(io("find a free port"))?;

        let said = File::create(folder.path().join("said")).map_err(io("make a file for what it says"))?;
        let said_too = said.try_clone().map_err(io("share that file"))?;
        let mut command = command(port, &data);
        let program = command.get_program().to_string_lossy().into_owned();
        // Nothing of ours: no home to write to.
        command.env("HOME", folder.path());
        let child = command.stdin(Stdio::null()).stdout(said).stderr(said_too).spawn();
        let child = child.map_err(|source| ServerError::Io { what: format!("start {program}"), source })?;
        Ok(Server { child, program, folder, port })
    }

    #[expect(clippy::disallowed_methods, reason = "another process tells nobody when it is ready")]
    async fn wait_for<F>(&mut self, answers: impl Fn(u16) -> F) -> Result<(), ServerError>
    where
        F: Future<Output = bool>,
    {
        let port = self.port;
        let waiting = async {
            while !answers(port).await {
                if let Some(status) = self.child.try_wait().map_err(io("look after the process"))? {
                    let (program, said) = (self.program.clone(), self.said());
                    return Err(ServerError::Ended { program, status: status.to_string(), said });
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
            Ok(())
        };
        match timeout(STARTS_WITHIN, waiting).await {
            Ok(done) => done,
            Err(_) => Err(ServerError::Silent { program: self.program.clone(), said: self.said() }),
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

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> ServerError {
    move |source| ServerError::Io { what: what.to_owned(), source }
}
