//! A body that was read becomes an export: decompressed, turned from JSON into protobuf, handed over.
//!
//! Invariant: what a body grows to is reserved before it grows, and has an end. What is not reserved, zstd's
//! windows, is bounded by how many bodies are opened at once: one on each worker thread, and [`AT_ONCE`] elsewhere.

use bytes::Bytes;
use siltstone_format::tenant::Tenant;
use tokio::sync::Semaphore;

use super::answer::Failure;
use super::json::{Transcoded, to_protobuf};
use super::{Otlp, setting};
use crate::export::{Accepted, Admission, Export, Refused};
use crate::receive::decompress::{Encoding, decompress};

/// A larger body is opened where it holds up no socket: it takes more than half a millisecond.
const OPENED_IN_PLACE_BYTES: usize = 128 << 10;

/// Large bodies that are opened at once: each may take 8 MiB for zstd's window. More would not be faster on
/// usual machines, as decoding comes behind it.
const AT_ONCE: usize = 4;

/// Bounds [`elsewhere`], which else has hundreds of threads.
static OPENERS: Semaphore = Semaphore::const_new(AT_ONCE);

impl Otlp {
    pub(super) async fn accept_protobuf(
        &self,
        tenant: Tenant,
        bytes: Bytes,
        encoding: Encoding,
        mut admission: Admission,
    ) -> Result<Accepted, Failure> {
        let limit = self.settings.uncompressed_bytes;
        let is_quick = encoding == Encoding::Identity || bytes.len() <= OPENED_IN_PLACE_BYTES;
        let open = move || {
            let body = decompress(encoding, &bytes, limit, |more| admission.grow(more))?;
            Ok((body, admission))
        };
        let (body, admission) = if is_quick { open()? } else { elsewhere(open).await? };
        Ok(self.accept.accept(Export { tenant, body }, admission).await?)
    }

    pub(super) async fn accept_json(
        &self,
        tenant: Tenant,
        bytes: Bytes,
        encoding: Encoding,
        mut admission: Admission,
    ) -> Result<Accepted, Failure> {
        let limit = self.settings.uncompressed_bytes;
        let is_quick = bytes.len() <= OPENED_IN_PLACE_BYTES;
        let open = move || {
            let json = decompress(encoding, &bytes, limit, |more| admission.grow(more))?;
            // The protobuf is about as long as the JSON at most: it fits where its columns come to lie, once the JSON
            // is gone.
            let transcoded =
                to_protobuf(&json).map_err(|error| Refused::Malformed(format!("as JSON, {error}")))?;
            if transcoded.body.len() > limit {
                let what = "it is larger as protobuf";
                return Err(Failure::TooLarge { what, setting: setting::UNCOMPRESSED_BYTES, limit });
            }
            Ok((transcoded, admission))
        };
        let (mut transcoded, admission) = if is_quick { open()? } else { elsewhere(open).await? };
        let body = Bytes::from(std::mem::take(&mut transcoded.body));
        let mut accepted = self.accept.accept(Export { tenant, body }, admission).await?;
        add_refused(&mut accepted, &transcoded);
        Ok(accepted)
    }

    /// Counts a failure, and logs what the sender will not tell the operator.
    pub(super) fn note(&self, failure: &Failure) {
        self.metrics.refused(failure.reason());
        match failure {
            Failure::Refused(Refused::Unavailable { what, .. }) => {
                tracing::error!(%what, "requests are refused");
            }
            _ => tracing::debug!(%failure, "a request was refused"),
        }
    }
}

async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    // It is never closed. The turn goes with the work: a sender who leaves does not stop it.
    let turn = OPENERS.acquire().await.ok();
    let work = move || {
        let _turn = turn;
        work()
    };
    // Fails if the work panics, which ends the process, or if the process ends.
    let failed = |error| Err(Failure::Broken(format!("the body cannot be opened: {error}")));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(failed)
}

/// Spans that did not get as far as the core are told to the sender beside those that the core refused.
fn add_refused(accepted: &mut Accepted, transcoded: &Transcoded) {
    let Some(first) = transcoded.first_refused else { return };
    accepted.refused.add_all(&transcoded.refused);
    let separator = if accepted.message.is_empty() { "" } else { "; " };
    let message =
        format!("{separator}spans that are not OTLP JSON ({}), the first at {first}", transcoded.refused);
    accepted.message.push_str(&message);
}
