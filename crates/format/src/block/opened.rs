//! Pages that were opened once, kept as they are then: decompressed, with a checksum that was right.
//!
//! Who reads a page again and again pays for its compression once. Which pages are worth that memory is the
//! caller's to say: it gives a reader a slot for each, and finds in it what was opened.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

/// A page without its compression.
#[derive(Clone, Debug)]
pub struct OpenedPage {
    levels: usize,
    stored_bytes: u64,
    body: Bytes,
}

/// Where a reader leaves a page that it has opened as a whole.
pub type PageSlot = Arc<OnceLock<OpenedPage>>;

impl OpenedPage {
    pub(crate) fn new(levels: usize, stored_bytes: usize, body: &[u8]) -> Self {
        Self { levels, stored_bytes: stored_bytes as u64, body: Bytes::copy_from_slice(body) }
    }

    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// How many bytes of the file it was made of.
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    pub(crate) fn levels(&self) -> usize {
        self.levels
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }
}
