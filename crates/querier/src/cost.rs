//! What one query has cost so far, counted where it arises.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Shared by all parts of a query.
#[derive(Debug, Default)]
pub struct Cost {
    requests: AtomicU64,
    bytes: AtomicU64,
    blocks_considered: AtomicU64,
    blocks_read: AtomicU64,
    rows_scanned: AtomicU64,
    collapsed: AtomicU64,
}

/// A query's cost at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostReport {
    /// Requests to the store for parts of blocks: what was in memory took none.
    pub requests: u64,
    /// Bytes that these brought.
    pub bytes: u64,
    /// Blocks that time and the filters of many blocks have left.
    pub blocks_considered: u64,
    /// Blocks of which pages were looked at.
    pub blocks_read: u64,
    /// Rows for which a filter was evaluated.
    pub rows_scanned: u64,
    /// Spans that were there more than once, and are not counted again.
    pub collapsed: u64,
}

impl CostReport {
    pub(crate) fn add(&mut self, more: &Self) {
        self.requests += more.requests;
        self.bytes += more.bytes;
        self.blocks_considered += more.blocks_considered;
        self.blocks_read += more.blocks_read;
        self.rows_scanned += more.rows_scanned;
        self.collapsed += more.collapsed;
    }
}

impl Cost {
    pub fn report(&self) -> CostReport {
        CostReport {
            requests: self.requests.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            blocks_considered: self.blocks_considered.load(Relaxed),
            blocks_read: self.blocks_read.load(Relaxed),
            rows_scanned: self.rows_scanned.load(Relaxed),
            collapsed: self.collapsed.load(Relaxed),
        }
    }

    pub(crate) fn request(&self, bytes: u64) {
        self.requests.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(crate) fn considered(&self, blocks: usize) {
        self.blocks_considered.fetch_add(blocks as u64, Relaxed);
    }

    pub(crate) fn read_block(&self) {
        self.blocks_read.fetch_add(1, Relaxed);
    }

    pub(crate) fn scanned(&self, rows: usize) {
        self.rows_scanned.fetch_add(rows as u64, Relaxed);
    }

    pub(crate) fn collapsed(&self, spans: usize) {
        self.collapsed.fetch_add(spans as u64, Relaxed);
    }
}
