//! Bytes that are not what was written.

use proptest::prelude::*;

use super::disk::TestDisk;
use super::*;
use crate::log::wal::segment::HEADER_LEN;

const FILE: &str = "data/wal/";

/// A file of five records, what they are, and where they begin.
fn written() -> (Vec<u8>, Vec<Record>, Vec<u64>) {
    let disk = TestDisk::new();
    let records: Vec<Record> = (0..5).map(|id| record(id, [40, 0, 300, 7, 90][id as usize])).collect();
    let mut writing = writing(&disk);
    let mut starts = Vec::new();
    let mut end = HEADER_LEN as u64;
    for record in &records {
        starts.push(end);
        end += encoded_len(record);
        assert!(append(&mut writing, segment(0, 0), record).is_ok());
    }
    starts.push(end);
    (disk.disk.read(&path(0)).unwrap(), records, starts)
}

fn path(part: u32) -> String {
    format!("{FILE}{}", PartName { segment: segment(0, 0), part }.file_name())
}

/// What is read from a file with these bytes.
fn read(bytes: &[u8]) -> (Vec<Found>, TestDisk) {
    let disk = TestDisk::new();
    drop(open(&disk, u64::MAX));
    disk.disk.create(&path(0)).unwrap();
    disk.disk.append(&path(0), bytes).unwrap();
    let (wal, _) = open(&disk, u64::MAX);
    (wal.read(segment(0, 0)).map(Result::unwrap).collect(), disk)
}

fn records(found: &[Found]) -> Vec<Record> {
    let record = |found: &Found| match found {
        Found::Record(record) => Some(record.clone()),
        Found::Torn(_) | Found::Damaged(_) => None,
    };
    found.iter().filter_map(record).collect()
}

#[test]
fn should_lose_only_the_record_in_which_a_byte_flipped() {
    let (bytes, all, starts) = written();
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x20;
        let (found, disk) = read(&bytes);
        // None: the flip is in the file's header, and no record is lost.
        let hit = starts.iter().rposition(|start| *start <= at as u64);
        let (start, end) = hit.map_or((0, starts[0]), |hit| (starts[hit], starts[hit + 1]));
        let rest: Vec<Record> = all
            .iter()
            .enumerate()
            .filter(|(id, _)| Some(*id) != hit)
            .map(|(_, record)| record.clone())
            .collect();
        assert_eq!(records(&found), rest, "byte {at}");
        let faults: Vec<&Found> = found.iter().filter(|found| !matches!(found, Found::Record(_))).collect();
        let is_last = hit == Some(all.len() - 1);
        match faults.as_slice() {
            [Found::Torn(stretch)] if is_last => {
                assert_eq!((stretch.offset, stretch.length), (start, end - start))
            }
            [Found::Damaged(SetAside { stretch, kept: Ok(kept) })] if !is_last => {
                assert_eq!((stretch.offset, stretch.length), (start, end - start));
                let kept = disk.disk.read(kept.to_str().unwrap().trim_start_matches('/')).unwrap();
                assert_eq!(kept, bytes[start as usize..end as usize]);
            }
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn should_cut_a_file_that_ends_anywhere() {
    let (bytes, all, starts) = written();
    for length in 0..=bytes.len() {
        let (found, _) = read(&bytes[..length]);
        let whole = starts.iter().skip(1).filter(|end| **end <= length as u64).count();
        assert_eq!(records(&found), all[..whole], "{length}");
        let is_torn = length > 0 && !starts.contains(&(length as u64));
        assert_eq!(found.len() - whole, usize::from(is_torn), "{length}");
    }
}

#[test]
fn should_cut_zeros_that_were_never_written() {
    let (mut bytes, all, starts) = written();
    bytes[starts[3] as usize + 5..].fill(0);
    bytes.resize(bytes.len() + 300_000, 0);
    let (found, _) = read(&bytes);
    assert_eq!(records(&found), all[..3]);
    assert!(matches!(found.last(), Some(Found::Torn(stretch)) if stretch.offset == starts[3]));
}

#[test]
fn should_not_take_bytes_in_a_body_for_a_record() {
    // A whole file of another log as the body of a record whose head is damaged.
    let (inner, _, _) = written();
    let disk = TestDisk::new();
    let mut writing = writing(&disk);
    let outer = Record { body: inner.into(), ..record(0, 0) };
    assert!(append(&mut writing, segment(0, 7), &outer).is_ok());
    assert!(append(&mut writing, segment(0, 7), &record(1, 10)).is_ok());
    let file = format!("{FILE}{}", PartName { segment: segment(0, 7), part: 0 }.file_name());
    disk.disk.write_at(&file, HEADER_LEN + 9, b"x").unwrap();
    drop(writing);
    let (wal, _) = open(&disk, u64::MAX);
    let found: Vec<Found> = wal.read(segment(0, 7)).map(Result::unwrap).collect();
    assert_eq!(records(&found), [record(1, 10)]);
}

#[test]
fn should_refuse_another_version_and_a_misnamed_file() {
    let (mut bytes, _, _) = written();
    let disk = TestDisk::new();
    drop(open(&disk, u64::MAX));
    let other = format!("{FILE}{}", PartName { segment: segment(0, 8), part: 0 }.file_name());
    disk.disk.create(&other).unwrap();
    disk.disk.append(&other, &bytes).unwrap();
    let (wal, _) = open(&disk, u64::MAX);
    let first = wal.read(segment(0, 8)).next().unwrap();
    assert!(matches!(first, Err(ReadError::Misnamed { .. })), "{first:?}");
    drop(wal);

    bytes[8] = 9;
    let checksum = crc32fast::hash(&bytes[..12]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    disk.disk.write_at(&other, 0, &bytes).unwrap();
    let error = Wal::open(Path::new("/data/wal"), Arc::new(disk), u64::MAX).unwrap_err().to_string();
    assert!(error.contains("version 9"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn should_read_nothing_from_arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let (found, _) = read(&bytes);
        prop_assert!(records(&found).is_empty());
    }

    /// Whatever stretch is overwritten, all outside it is read, and nothing else.
    #[test]
    fn should_read_what_is_outside_of_a_damaged_stretch(
        at in any::<prop::sample::Index>(),
        garbage in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let (mut bytes, all, starts) = written();
        let at = at.index(bytes.len());
        let end = (at + garbage.len()).min(bytes.len());
        let before = bytes.clone();
        bytes[at..end].copy_from_slice(&garbage[..end - at]);
        let whole = |id: &usize| {
            let range = starts[*id] as usize..starts[id + 1] as usize;
            bytes[range.clone()] == before[range]
        };
        let expected: Vec<Record> = (0..all.len()).filter(whole).map(|id| all[id].clone()).collect();
        prop_assert_eq!(records(&read(&bytes).0), expected);
    }
}
