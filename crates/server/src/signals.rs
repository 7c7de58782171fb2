//! SIGTERM and SIGINT: the first asks for an orderly end, the second gets one at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals, caught from when this is made.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// A file that would grow beyond what is allowed: caught, so that writing fails and the process lives.
    _file_size: Signal,
}

impl Signals {
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_size: signal(SignalKind::from_raw(libc::SIGXFSZ))?,
        })
    }

    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Resolves at the first signal; from then on the next one ends the process.
    pub async fn first_then_exit(mut self) {
        self.next().await;
        tracing::info!("asked to end: finishing what was taken; a second signal ends at once");
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("a second signal: ending at once");
            std::process::exit(EXIT_AT_ONCE);
        });
    }
}

/// Neither success nor a failure of ours.
const EXIT_AT_ONCE: i32 = 130;
