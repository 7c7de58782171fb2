//! Distinct texts, numbered in the order in which they came.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::Rejected;
use super::memory::of_vec;
use super::room::make_room;

/// Texts stored once, end to end, each with a number. The hash is seeded at random,
/// so that nobody can send texts that all collide; numbers do not depend on it.
#[derive(Clone, Default)]
pub struct Dictionary {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    numbers: HashTable<Slot>,
    seed: RandomState,
    last: u32,
}

impl Dictionary {
    /// How many distinct texts there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The text of a number that [`Self::intern`] gave.
    pub fn get(&self, number: u32) -> &str {
        // Every text was checked when it came in, and ends lie between texts.
        std::str::from_utf8(self.bytes_of(number)).unwrap_or_default()
    }

    /// The same without looking at the encoding again.
    pub fn bytes_of(&self, number: u32) -> &[u8] {
        bytes_at(&self.bytes, &self.ends, number)
    }

    /// Bytes of all distinct texts.
    pub fn text_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The number of a text. It is checked to be UTF-8 when it is new; the checked
    /// ones are compared as bytes.
    #[inline]
    pub fn intern(&mut self, text: &[u8]) -> Result<u32, Rejected> {
        // Neighbouring spans often say the same.
        if !self.is_empty() && self.bytes_of(self.last) == text {
            return Ok(self.last);
        }
        self.search_or_insert(text)
    }

    #[inline(never)]
    fn search_or_insert(&mut self, text: &[u8]) -> Result<u32, Rejected> {
        let hash = self.hash(text);
        self.last = match self.search(text, hash) {
            Some(number) => number,
            None => self.insert(text, hash)?,
        };
        Ok(self.last)
    }

    /// The number of a text that is there.
    pub fn find(&self, text: &[u8]) -> Option<u32> {
        self.search(text, self.hash(text))
    }

    fn hash(&self, text: &[u8]) -> u32 {
        (self.seed.hash_one(text) >> 32) as u32
    }

    fn search(&self, text: &[u8], hash: u32) -> Option<u32> {
        let is_it = |slot: &Slot| slot.hash == hash && bytes_at(&self.bytes, &self.ends, slot.number) == text;
        self.numbers.find(spread(hash), is_it).map(|slot| slot.number)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        of_vec(&self.bytes) + of_vec(&self.ends) + self.numbers.allocation_size()
    }

    /// Room for so many times the texts that there are. The table is left out: it is filled at random places, so
    /// that each page of it would be.
    pub(super) fn make_room(&mut self, times: usize) {
        make_room(&mut self.bytes, times);
        make_room(&mut self.ends, times);
    }

    fn insert(&mut self, text: &[u8], hash: u32) -> Result<u32, Rejected> {
        if std::str::from_utf8(text).is_err() {
            return Err(Rejected::NotUtf8);
        }
        let end = u32::try_from(self.bytes.len() + text.len()).map_err(|_| Rejected::Full)?;
        let number = self.ends.len() as u32;
        self.bytes.extend_from_slice(text);
        self.ends.push(end);
        self.numbers.insert_unique(spread(hash), Slot { hash, number }, |slot| spread(slot.hash));
        Ok(number)
    }
}

/// A text's number, and half of its hash: most other texts are told apart without looking at them, and the
/// table grows without reading all texts again.
#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    number: u32,
}

/// The table looks at both ends of a hash.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn bytes_at<'a>(bytes: &'a [u8], ends: &[u32], number: u32) -> &'a [u8] {
    let index = number as usize;
    let start = if index == 0 { 0 } else { ends[index - 1] as usize };
    &bytes[start..ends[index] as usize]
}

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dictionary({} texts)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_number_texts_in_the_order_of_their_first_use() {
        let mut texts = Dictionary::default();
        let numbers: Vec<u32> =
            ["a", "", "b", "a", "", "b"].iter().map(|text| texts.intern(text.as_bytes()).unwrap()).collect();
        assert_eq!(numbers, [0, 1, 2, 0, 1, 2]);
        assert_eq!((texts.get(0), texts.get(1), texts.get(2), texts.len()), ("a", "", "b", 3));
    }

    #[test]
    fn should_refuse_what_is_not_utf8_and_stay_as_it_was() {
        let mut texts = Dictionary::default();
        texts.intern(b"a").unwrap();
        assert_eq!(texts.intern(&[0xff]), Err(Rejected::NotUtf8));
        assert_eq!(texts.len(), 1);
        assert_eq!(texts.intern(b"b").unwrap(), 1);
    }

    #[test]
    fn should_find_every_text_again_after_growing() {
        let mut texts = Dictionary::default();
        for number in 0..10_000u32 {
            assert_eq!(texts.intern(number.to_string().as_bytes()).unwrap(), number);
        }
        for number in (0..10_000u32).rev() {
            assert_eq!(texts.intern(number.to_string().as_bytes()).unwrap(), number);
        }
    }
}
