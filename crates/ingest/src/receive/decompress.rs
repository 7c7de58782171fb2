//! Compressed bodies: what they may grow to is decided by the caller, not by what they say of themselves.
//!
//! Output is written as it comes, into a buffer that grows step by step; each step is asked for before it is
//! taken, and none goes beyond the cap. Damage, an end too early and bytes behind the end are errors. Invariant:
//! memory is bounded by the cap, and while zstd is at work by 8 MiB for its window, which the caller bounds by how
//! many bodies it opens at once. A thread keeps some 40 KB for deflate and at most 1 MiB for zstd.

mod inflate;
mod zstandard;

#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::budget::NoRoom;

/// The first step of the buffer; each later one doubles it.
const FIRST_STEP: usize = 16 * 1024;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
    Deflate,
    Zstd,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    #[error("content encoding `{0}` is not known: use gzip, zstd, deflate or none")]
    UnknownEncoding(String),
    #[error("the request is larger than {cap} bytes once it is decompressed")]
    TooLarge { cap: usize },
    #[error("the {0} body ends too early")]
    Truncated(&'static str),
    #[error("the {encoding} body is damaged: {what}")]
    Damaged { encoding: &'static str, what: &'static str },
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

impl Encoding {
    /// By the name that HTTP and gRPC give it.
    pub fn named(name: &str) -> Result<Self, DecompressError> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "zstd" => Ok(Self::Zstd),
            _ => Err(DecompressError::UnknownEncoding(name.chars().take(40).collect())),
        }
    }
}

/// The body as it was before it was compressed, at most `cap` bytes. Before the buffer grows by so many bytes,
/// `on_growth` is asked for them; a body that is not compressed is handed through and asks for nothing.
pub fn decompress(
    encoding: Encoding,
    body: &Bytes,
    cap: usize,
    on_growth: impl FnMut(usize) -> Result<(), NoRoom>,
) -> Result<Bytes, DecompressError> {
    let mut output = Output { bytes: Vec::new(), cap, on_growth };
    match encoding {
        Encoding::Identity if body.len() > cap => return Err(DecompressError::TooLarge { cap }),
        Encoding::Identity => return Ok(body.clone()),
        Encoding::Gzip => inflate::gzip(body, &mut output)?,
        Encoding::Deflate => inflate::zlib(body, &mut output)?,
        Encoding::Zstd => zstandard::zstd(body, &mut output)?,
    }
    Ok(Bytes::from(output.bytes))
}

/// What has been written so far.
struct Output<G> {
    bytes: Vec<u8>,
    cap: usize,
    on_growth: G,
}

impl<G: FnMut(usize) -> Result<(), NoRoom>> Output<G> {
    /// Makes room for at least one more byte. One byte beyond the cap is room too: whether anything is written
    /// there tells what is too large from what just fits.
    fn make_room(&mut self) -> Result<(), DecompressError> {
        self.check()?;
        let (len, capacity) = (self.bytes.len(), self.bytes.capacity());
        if len < capacity {
            return Ok(());
        }
        let step = capacity.max(FIRST_STEP).min(self.cap.saturating_add(1) - len);
        (self.on_growth)(step)?;
        self.bytes.reserve_exact(step);
        Ok(())
    }

    fn check(&self) -> Result<(), DecompressError> {
        if self.bytes.len() > self.cap { Err(DecompressError::TooLarge { cap: self.cap }) } else { Ok(()) }
    }
}
