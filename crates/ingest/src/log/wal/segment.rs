//! A file of the log: its name, and what it begins with. Numbers are little-endian.
//!
//! ```text
//!  0          8         12         16       32       40     44         48
//!  | "SILT-WAL" | version | checksum | writer | number | part | checksum | records …
//!  |            |         | of these |        |        |      | of all   |
//! ```
//!
//! The first 16 bytes are the same in every version. A segment is `<writer>-<number>.log`; where a file could
//! not be continued after a failure, parts `<writer>-<number>.1.log` … follow. No file is ever opened again to
//! be written.

use bytes::Buf;
use siltstone_format::id::WriterId;
use ulid::Ulid;

use crate::log::SegmentName;

pub(super) const HEADER_LEN: usize = 48;
const MAGIC: [u8; 8] = *b"SILT-WAL";
const VERSION: u32 = 1;
/// Its records know deletions: who reads version 1 alone would take them for damage.
const KNOWING_VERSION: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PartName {
    pub(super) segment: SegmentName,
    pub(super) part: u32,
}

/// What the beginning of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    Of(PartName),
    /// It is too short, or its checksum is wrong.
    Unreadable,
    UnknownVersion(u32),
}

impl PartName {
    pub(super) fn file_name(&self) -> String {
        let SegmentName { writer, number } = self.segment;
        match self.part {
            0 => format!("{writer}-{number:020}.log"),
            part => format!("{writer}-{number:020}.{part}.log"),
        }
    }

    /// None if it is not the name of a file of the log.
    pub(super) fn parse(file_name: &str) -> Option<Self> {
        let (writer, rest) = file_name.strip_suffix(".log")?.split_once('-')?;
        let (number, part) = rest.split_once('.').unwrap_or((rest, "0"));
        let segment = SegmentName { writer: writer.parse().ok()?, number: number.parse().ok()? };
        let name = Self { segment, part: part.parse().ok()? };
        (name.file_name() == file_name).then_some(name)
    }

    pub(super) fn header(&self, knows_deletions: bool) -> [u8; HEADER_LEN] {
        let version = if knows_deletions { KNOWING_VERSION } else { VERSION };
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&version.to_le_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        header.extend_from_slice(&self.segment.writer.0.to_bytes());
        header.extend_from_slice(&self.segment.number.to_le_bytes());
        header.extend_from_slice(&self.part.to_le_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        let mut bytes = [0; HEADER_LEN];
        bytes.iter_mut().zip(header).for_each(|(to, from)| *to = from);
        bytes
    }
}

impl Header {
    pub(super) fn decode(bytes: &[u8]) -> Self {
        Self::try_decode(bytes).unwrap_or(Self::Unreadable)
    }

    fn try_decode(bytes: &[u8]) -> Option<Self> {
        let (mut version, mut rest) = bytes.strip_prefix(&MAGIC)?.split_at_checked(8)?;
        let (number, checksum) = (version.get_u32_le(), version.get_u32_le());
        if checksum != crc32fast::hash(bytes.get(..12)?) {
            return None;
        }
        if ![VERSION, KNOWING_VERSION].contains(&number) {
            return Some(Self::UnknownVersion(number));
        }
        if rest.len() < HEADER_LEN - 16 {
            return None;
        }
        let writer = WriterId(Ulid(rest.get_u128()));
        let segment = SegmentName { writer, number: rest.get_u64_le() };
        let part = rest.get_u32_le();
        let is_right = rest.get_u32_le() == crc32fast::hash(bytes.get(..HEADER_LEN - 4)?);
        is_right.then_some(Self::Of(PartName { segment, part }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u64, part: u32) -> PartName {
        PartName { segment: SegmentName { writer: WriterId(Ulid(0x0193 << 100 | 42)), number }, part }
    }

    #[test]
    fn should_round_trip_names_and_headers() {
        for name in [name(0, 0), name(7, 1), name(u64::MAX, u32::MAX)] {
            assert_eq!(PartName::parse(&name.file_name()), Some(name));
            for knows_deletions in [false, true] {
                assert_eq!(Header::decode(&name.header(knows_deletions)), Header::Of(name));
            }
        }
        assert!(name(9, 0).file_name() < name(10, 0).file_name());
    }

    #[test]
    fn should_not_take_other_files_for_its_own() {
        let writer = name(0, 0).segment.writer;
        for other in ["lock", "damaged", "x-1.log", ".log", "-.log"] {
            assert_eq!(PartName::parse(other), None, "{other}");
        }
        for rest in
            ["1.log", "00000000000000000001", "00000000000000000001.0.log", "00000000000000000001.01.log"]
        {
            assert_eq!(PartName::parse(&format!("{writer}-{rest}")), None, "{rest}");
        }
    }

    #[test]
    fn should_tell_another_version_from_damage() {
        let mut newer = name(1, 0).header(false);
        newer[8] = 9;
        let checksum = crc32fast::hash(&newer[..12]);
        newer[12..16].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Header::decode(&newer), Header::UnknownVersion(9));
        // A later header may be shorter.
        assert_eq!(Header::decode(&newer[..16]), Header::UnknownVersion(9));
        for at in 0..HEADER_LEN {
            let mut header = name(1, 0).header(false);
            header[at] ^= 0x10;
            assert_eq!(Header::decode(&header), Header::Unreadable, "{at}");
            assert_eq!(Header::decode(&name(1, 0).header(false)[..at]), Header::Unreadable);
        }
    }
}
