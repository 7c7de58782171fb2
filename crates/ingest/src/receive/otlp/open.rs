//! A body that was read becomes an export: decompressed, turned from JSON into protobuf, handed over.
//!
//! Invariant: what a body grows to is reserved before it grows, and has an end.

use std::io::Read;

use bytes::Bytes;
use siltstone_format::tenant::Tenant;

use super::answer::Failure;
use super::{Otlp, setting};
use crate::export::{Accepted, Admission, Export, Refused};
use crate::metrics::Encoding;

/// A larger body is opened where waiting harms nobody: it takes more than half a millisecond.
const OPENED_IN_PLACE_BYTES: usize = 128 << 10;

impl Otlp {
    pub(super) async fn open_and_accept(
        &self,
        tenant: Tenant,
        bytes: Bytes,
        encoding: Encoding,
        admission: Admission,
    ) -> Result<Accepted, Failure> {
        let (body, admission) = self.open(bytes, encoding, admission).await?;
        Ok(self.accept.accept(Export { tenant, body }, admission).await?)
    }

    pub(super) async fn open_and_accept_json(
        &self,
        tenant: Tenant,
        bytes: Bytes,
        encoding: Encoding,
        admission: Admission,
    ) -> Result<Accepted, Failure> {
        let _ = (tenant, bytes, encoding, admission);
        Err(Failure::UnknownMediaType("JSON is not read yet: send application/x-protobuf".to_owned()))
    }

    async fn open(
        &self,
        bytes: Bytes,
        encoding: Encoding,
        mut admission: Admission,
    ) -> Result<(Bytes, Admission), Failure> {
        if encoding == Encoding::Identity {
            if bytes.len() > self.settings.uncompressed_bytes {
                return Err(too_large(self.settings.uncompressed_bytes));
            }
            return Ok((bytes, admission));
        }
        let limit = self.settings.uncompressed_bytes;
        if bytes.len() <= OPENED_IN_PLACE_BYTES {
            let opened = decompress(&bytes, encoding, limit, &mut admission)?;
            return Ok((opened, admission));
        }
        let elsewhere = move || {
            let opened = decompress(&bytes, encoding, limit, &mut admission)?;
            Ok((opened, admission))
        };
        tokio::task::spawn_blocking(elsewhere)
            .await
            .unwrap_or_else(|error| Err(Failure::Broken(format!("the body cannot be decompressed: {error}"))))
    }

    /// Counts a failure, and tells the log what the sender will not pass on.
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

fn too_large(limit: usize) -> Failure {
    Failure::TooLarge { what: "it is larger once opened", setting: setting::UNCOMPRESSED_BYTES, limit }
}

fn decompress(
    bytes: &[u8],
    encoding: Encoding,
    limit: usize,
    admission: &mut Admission,
) -> Result<Bytes, Failure> {
    let broken = |error: std::io::Error| Failure::Broken(format!("the body cannot be decompressed: {error}"));
    let mut reader: Box<dyn Read + '_> = match encoding {
        Encoding::Identity => Box::new(bytes),
        Encoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        Encoding::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(bytes).map_err(broken)?),
    };
    let mut opened = Vec::new();
    let mut reserved = 0;
    loop {
        let goal = reserved.max(bytes.len()).saturating_mul(2).min(limit);
        admission.grow(goal - reserved)?;
        opened.reserve_exact(goal - opened.len());
        let room = (goal - opened.len()) as u64;
        reserved = goal;
        let read = reader.by_ref().take(room).read_to_end(&mut opened).map_err(broken)?;
        if (read as u64) < room {
            return Ok(opened.into());
        }
        if opened.len() == limit {
            let is_at_its_end = reader.read(&mut [0]).map_err(broken)? == 0;
            return if is_at_its_end { Ok(opened.into()) } else { Err(too_large(limit)) };
        }
    }
}
