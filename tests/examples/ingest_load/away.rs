//! A store that is some way off: MinIO behind a proxy that holds every answer back for a while.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use siltstone_testkit::server::Minio;
use tokio::runtime::Runtime;

use crate::{Failure, now, wait_until};

/// Stops with the program.
pub(crate) struct StoreAway {
    endpoint: String,
    _minio: Minio,
    _runtime: Runtime,
}

/// Pieces of answers that are on their way.
const PIECES: usize = 1024;

impl StoreAway {
    /// The program is named by `SILTSTONE_MINIO`; `tools/minio` prints it.
    pub(crate) fn start(delay: Duration) -> Result<Self, Failure> {
        let program = std::env::var_os("SILTSTONE_MINIO")
            .ok_or("SILTSTONE_MINIO must name MinIO's program: `SILTSTONE_MINIO=$(tools/minio)`")?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let minio = runtime.block_on(Minio::start(program.into()))?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let behind = minio.endpoint().trim_start_matches("http://").to_owned();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // Whoever is not let through sees it.
                let _ = hand_through(connection, &behind, delay);
            }
        });
        Ok(Self { endpoint, _minio: minio, _runtime: runtime })
    }

    /// How the server is told.
    pub(crate) fn settings(&self) -> [(&'static str, String); 5] {
        [
            ("SILTSTONE_STORE", format!("s3://{}/load", Minio::BUCKET)),
            ("SILTSTONE_S3_ENDPOINT", self.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", Minio::ACCESS_KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", Minio::SECRET_ACCESS_KEY.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }
}

fn hand_through(near: TcpStream, behind: &str, delay: Duration) -> std::io::Result<()> {
    let far = TcpStream::connect(behind)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (mut from_near, mut to_far) = (near.try_clone()?, far.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_near, &mut to_far);
        let _ = to_far.shutdown(std::net::Shutdown::Write);
    });
    let (pieces, arrived) = mpsc::sync_channel(PIECES);
    std::thread::spawn(move || take(far, &pieces));
    std::thread::spawn(move || give_later(&arrived, near, delay));
    Ok(())
}

fn take(mut far: TcpStream, pieces: &mpsc::SyncSender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read) = far.read(&mut buffer)
        && read > 0
        && pieces.send((now(), buffer[..read].to_vec())).is_ok()
    {}
}

fn give_later(arrived: &mpsc::Receiver<(Instant, Vec<u8>)>, mut near: TcpStream, delay: Duration) {
    for (at, piece) in arrived {
        wait_until(at + delay);
        if near.write_all(&piece).is_err() {
            return;
        }
    }
    let _ = near.shutdown(std::net::Shutdown::Write);
}
