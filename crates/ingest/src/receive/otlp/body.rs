//! The bytes of a request: read within bounds into one piece, and opened.
//!
//! Invariant: no byte is held that the request's [`Admission`] does not cover, and nobody is waited for longer
//! than the deadline.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http_body::Body;
use http_body_util::BodyExt;
use siltstone_catalog::time::Clock;

use super::answer::Failure;
use super::setting;
use crate::export::Admission;
use crate::receive::decompress::Encoding;

/// Room for a body that does not say how long it is.
pub(super) const FIRST_GUESS_BYTES: usize = 64 << 10;
/// A body that came in one chunk of at least that many bytes is used where it lies. A smaller one is copied:
/// what it lies in may be many times as large, and would be held with it.
const KEPT_IN_PLACE_BYTES: usize = 64 << 10;

/// Collects the chunks of a body. Its room was reserved for `capacity` bytes before.
pub(super) struct Gathered {
    bytes: BytesMut,
    reserved: usize,
    limit: usize,
}

impl Gathered {
    pub(super) fn with_capacity(capacity: usize, limit: usize) -> Self {
        Self { bytes: BytesMut::with_capacity(capacity), reserved: capacity, limit }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn push(&mut self, chunk: &[u8], admission: &mut Admission) -> Result<(), Failure> {
        let needed = self.bytes.len().saturating_add(chunk.len());
        if needed > self.limit {
            return Err(too_large("it goes on after that", self.limit));
        }
        if needed > self.reserved {
            // Twice as much each time, so that a body is copied once more at most.
            let goal = needed.max(self.reserved.saturating_mul(2)).min(self.limit);
            admission.grow(goal - self.reserved)?;
            self.bytes.reserve(goal - self.bytes.len());
            self.reserved = goal;
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    pub(super) fn finish(self) -> Bytes {
        self.bytes.freeze()
    }
}

pub(super) fn too_large(what: &'static str, limit: usize) -> Failure {
    Failure::TooLarge { what, setting: setting::REQUEST_BYTES, limit }
}

/// Reads a whole body. `length` is what its head says; so much was admitted, or [`FIRST_GUESS_BYTES`].
pub(super) async fn read<B>(
    body: &mut B,
    length: Option<usize>,
    limit: usize,
    admission: &mut Admission,
) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let Some(first) = next_chunk(body).await? else { return Ok(Bytes::new()) };
    if length == Some(first.len()) && first.len() >= KEPT_IN_PLACE_BYTES {
        return Ok(first);
    }
    let mut gathered = Gathered::with_capacity(length.unwrap_or(FIRST_GUESS_BYTES).min(limit), limit);
    gathered.push(&first, admission)?;
    drop(first);
    while let Some(chunk) = next_chunk(body).await? {
        gathered.push(&chunk, admission)?;
    }
    Ok(gathered.finish())
}

/// The next bytes; none at the end.
pub(super) async fn next_chunk<B>(body: &mut B) -> Result<Option<Bytes>, Failure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::Broken(format!("the body cannot be read: {error}")))?;
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
        {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Gives a sender so much time. Whoever is quick pays for no timer.
pub(super) async fn within<T>(
    deadline: Duration,
    clock: &dyn Clock,
    reading: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut reading = pin!(reading);
    let at_once =
        std::future::poll_fn(|context| std::task::Poll::Ready(reading.as_mut().poll(context))).await;
    if let std::task::Poll::Ready(done) = at_once {
        return done;
    }
    tokio::select! {
        biased;
        done = reading => done,
        () = clock.sleep(deadline) => Err(Failure::TooSlow(deadline)),
    }
}

/// Reads on without keeping anything, so that a sender who is still busy sending gets to see the answer.
pub(super) async fn discard<B>(body: &mut B, at_most: usize)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut seen = 0;
    while let Ok(Some(chunk)) = next_chunk(body).await {
        seen += chunk.len();
        if seen > at_most {
            return;
        }
    }
}

/// The compression that a head names; none is as good as identity.
pub(super) fn encoding_of(name: Option<&HeaderValue>) -> Result<Encoding, Failure> {
    let Some(name) = name else { return Ok(Encoding::Identity) };
    let unknown = |_| Failure::UnknownEncoding("the content encoding is not ASCII".to_owned());
    Ok(Encoding::named(name.to_str().map_err(unknown)?)?)
}
