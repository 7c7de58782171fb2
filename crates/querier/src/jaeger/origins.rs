//! What is written of origins, kept: an answer names the same few again and again, and with each its whole resource,
//! which takes more than the spans themselves.

use std::collections::HashMap;
use std::sync::Arc;

use siltstone_format::origin::Origin;

/// So much is kept, with the origins themselves, which nothing else may hold any more.
const MOST_BYTES: usize = 2 << 20;

/// By their places in memory, which none of them leaves while it stands here.
#[derive(Debug, Default)]
pub(crate) struct WrittenOrigins {
    written: HashMap<usize, (Arc<Origin>, Vec<u8>)>,
    bytes: usize,
}

impl WrittenOrigins {
    /// What `write` writes of an origin: always the same.
    pub(crate) fn of(&mut self, origin: &Arc<Origin>, write: impl FnOnce(&Origin, &mut Vec<u8>)) -> &[u8] {
        if self.bytes > MOST_BYTES {
            *self = Self::default();
        }
        let (_, written) = self.written.entry(Arc::as_ptr(origin).addr()).or_insert_with(|| {
            let mut written = Vec::new();
            write(origin, &mut written);
            self.bytes += written.len() + origin.canonical_resource().len() + origin.canonical_scope().len();
            (Arc::clone(origin), written)
        });
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(name: &str) -> Arc<Origin> {
        Arc::new(Origin { scope_name: name.to_owned(), ..Origin::default() })
    }

    fn write(origin: &Origin, out: &mut Vec<u8>) {
        out.extend_from_slice(origin.scope_name.as_bytes());
    }

    #[test]
    fn should_write_an_origin_once() {
        let (one, other) = (origin("one"), origin("other"));
        let mut origins = WrittenOrigins::default();
        assert_eq!(origins.of(&one, write), b"one");
        assert_eq!(origins.of(&other, write), b"other");
        assert_eq!(origins.of(&one, |_, _| panic!("it was written")), b"one");
    }

    #[test]
    fn should_never_take_one_for_another_in_its_place() {
        let mut origins = WrittenOrigins::default();
        for number in 0..1_000 {
            let name = number.to_string();
            assert_eq!(origins.of(&origin(&name), write), name.as_bytes());
        }
    }

    #[test]
    fn should_forget_before_it_is_too_much() {
        let mut origins = WrittenOrigins::default();
        let large = "large".repeat(MOST_BYTES / 20);
        for _ in 0..100 {
            origins.of(&origin(&large), write);
            assert!(origins.bytes >= origins.written.len() * 2 * large.len());
            assert!((1..=MOST_BYTES / large.len()).contains(&origins.written.len()));
        }
    }
}
