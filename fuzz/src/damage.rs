//! Damage as a few bytes describe it.
//!
//! ```text
//! choice      1 byte: bit 0 the second file, bit 1 the file is cut off, bits 2 and up what is read
//! cut         2 bytes, little endian: bytes that stay, if it is cut off
//! bursts      any number of
//!   place     2 bytes, little endian
//!   change    4 bytes that are xored there
//! ```
//!
//! A checksum of 32 bits finds any one burst of 32 bits for certain, several only most likely: a search that
//! follows coverage would come across the rest one day. So what was read is compared after one burst only.

/// What happens to a file.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    pub(crate) second: bool,
    pub(crate) cuts: bool,
    pub(crate) reads: usize,
    /// All behind is as it was, if the file was not cut off.
    pub(crate) end: usize,
    /// The checksums find it for certain.
    pub(crate) certain: bool,
    cut: usize,
    bursts: Vec<(usize, [u8; 4])>,
}

const MOST_BURSTS: usize = 8;

impl Damage {
    pub(crate) fn parse(data: &[u8]) -> Self {
        let choice = data.first().copied().unwrap_or(0);
        let cuts = choice & 2 != 0;
        let mut rest = data.get(1..).unwrap_or_default();
        let mut cut = usize::MAX;
        if cuts && let Some((bytes, tail)) = rest.split_first_chunk() {
            cut = usize::from(u16::from_le_bytes(*bytes));
            rest = tail;
        }
        let bursts: Vec<_> = rest
            .as_chunks::<6>()
            .0
            .iter()
            .take(MOST_BURSTS)
            .map(|[low, high, change @ ..]| (usize::from(u16::from_le_bytes([*low, *high])), *change))
            .collect();
        let end = bursts.iter().map(|(place, change)| place + change.len()).max().unwrap_or(0);
        Self {
            second: choice & 1 != 0,
            cuts,
            reads: usize::from(choice >> 2),
            end,
            certain: bursts.len() <= 1,
            cut,
            bursts,
        }
    }

    pub(crate) fn apply(&self, file: &[u8]) -> Vec<u8> {
        let mut file = file[..file.len().min(self.cut)].to_vec();
        for (place, change) in &self.bursts {
            file.iter_mut().skip(*place).zip(change).for_each(|(byte, change)| *byte ^= change);
        }
        file
    }
}
