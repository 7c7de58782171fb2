//! A sender over HTTP/1 that can be wrong about everything.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than anything may take here: who is not answered fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Sender {
    connection: TcpStream,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn says_when(&self) -> bool {
        self.header("retry-after").is_some_and(|value| value.parse::<u32>().unwrap() > 0)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// The head of a request, up to what tells how long its body is.
pub(crate) fn head(media_type: &str, encoding: &str) -> String {
    format!(
        "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {media_type}\r\nContent-Encoding: {encoding}\r\n"
    )
}

impl Sender {
    pub(crate) fn new(address: &str) -> Self {
        let connection = TcpStream::connect(address).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { connection }
    }

    pub(crate) fn post(&mut self, media_type: &str, encoding: &str, body: &[u8]) -> Answer {
        let head = format!("{}Content-Length: {}\r\n\r\n", head(media_type, encoding), body.len());
        self.write(head.as_bytes());
        self.write(body);
        self.answer().unwrap()
    }

    /// Whether all was taken off. Who was refused may be cut off in the midst of sending.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.connection.write_all(bytes).is_ok()
    }

    pub(crate) fn says_no_more(&self) {
        let _ = self.connection.shutdown(std::net::Shutdown::Write);
    }

    /// None: the connection ended without one.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let mut read = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let bytes = match self.connection.read(&mut piece) {
                Ok(0) => return None,
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer: {error}"),
            };
            read.extend_from_slice(&piece[..bytes]);
            let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if read.len() >= end + 4 + length {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return Some(Answer { status, head, body: read.split_off(end + 4) });
            }
        }
    }
}
