//! Sorted texts in little memory: of each what differs from the one before, and of some all.

use super::hybrid::{read_varint, write_varint};

/// Texts one after the other, each with how many bytes it shares with the one before, and how many follow.
#[derive(Debug, Default)]
pub(crate) struct FrontCoded {
    bytes: Vec<u8>,
    /// Where those begin that share nothing.
    starts: Vec<u32>,
}

/// One in so many texts shares nothing: what is before it need not be read to find those behind.
const RUN: usize = 16;

impl FrontCoded {
    pub(crate) fn of<'t>(texts: impl Iterator<Item = &'t [u8]>) -> Self {
        let mut packed = Self::default();
        let mut before: &[u8] = &[];
        for (index, text) in texts.enumerate() {
            if index % RUN == 0 {
                packed.starts.push(packed.bytes.len() as u32);
                before = &[];
            }
            let shared = before.iter().zip(text).take_while(|(one, other)| one == other).count();
            write_varint(shared as u64, &mut packed.bytes);
            write_varint((text.len() - shared) as u64, &mut packed.bytes);
            packed.bytes.extend_from_slice(&text[shared..]);
            before = text;
        }
        packed.bytes.shrink_to_fit();
        packed.starts.shrink_to_fit();
        packed
    }

    /// A text that is there, put together in `room`.
    pub(crate) fn get<'r>(&self, index: usize, room: &'r mut Vec<u8>) -> Option<&'r [u8]> {
        room.clear();
        let mut at = *self.starts.get(index / RUN)? as usize;
        for _ in 0..=index % RUN {
            let shared = read_varint(&self.bytes, &mut at)? as usize;
            let rest = read_varint(&self.bytes, &mut at)? as usize;
            room.truncate(shared);
            room.extend_from_slice(self.bytes.get(at..at + rest)?);
            at += rest;
        }
        Some(room.as_slice())
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() + 4 * self.starts.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn should_give_back_each_text(texts in prop::collection::vec("[ab]{0,6}|[a-z]{300}", 0..100), is_sorted in any::<bool>()) {
            let mut texts = texts;
            if is_sorted {
                texts.sort();
            }
            let packed = FrontCoded::of(texts.iter().map(String::as_bytes));
            let mut room = Vec::new();
            for (index, text) in texts.iter().enumerate().rev() {
                prop_assert_eq!(packed.get(index, &mut room), Some(text.as_bytes()));
            }
            prop_assert_eq!(packed.get(texts.len(), &mut room), None);
        }
    }

    #[test]
    fn should_take_little_for_texts_that_begin_alike() {
        let texts: Vec<String> = (10_000..20_000).map(|number| format!("/users/{number}/orders")).collect();
        let packed = FrontCoded::of(texts.iter().map(String::as_bytes));
        let plain: usize = texts.iter().map(String::len).sum();
        assert!(packed.bytes() * 3 / 2 < plain, "{} of {plain} bytes", packed.bytes());
    }
}
