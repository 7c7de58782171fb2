use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use siltstone_format::id::WriterId;
use tokio::sync::oneshot;
use ulid::Ulid;

use super::segment::PartName;
use super::writing::{Appended, Entry, Writing};
use super::*;
use crate::log::record::encoded_len;
use crate::log::{LaneLog, LogFailure, Record};
use disk::TestDisk;

mod corruption;
mod crashes;
mod disk;

fn segment(writer: u64, number: u64) -> SegmentName {
    SegmentName { writer: WriterId(Ulid(u128::from(writer) + 1)), number }
}

fn record(id: u64, body_len: usize) -> Record {
    let body: Vec<u8> = (0..body_len).map(|at| (at as u64 * 31 + id) as u8).collect();
    Record {
        tenant: format!("tenant-{}", id % 3).parse().unwrap(),
        arrived_unix_millis: id,
        known_deletions: id % 2,
        refused: (0..id as u32 % 4).collect(),
        body: Bytes::from(body),
    }
}

fn open(disk: &TestDisk, max_bytes: u64) -> (Wal, Vec<FoundSegment>) {
    Wal::open(Path::new("/data/wal"), Arc::new(disk.clone()), max_bytes).unwrap()
}

fn writing(disk: &TestDisk) -> Writing {
    let (wal, _) = open(disk, u64::MAX);
    Writing::new(Arc::clone(&wal.folder))
}

/// Without a thread.
fn append(writing: &mut Writing, segment: SegmentName, record: &Record) -> Result<(), LogFailure> {
    let (reply, mut answer) = oneshot::channel();
    let (record, bytes) = (record.clone(), encoded_len(record));
    writing.work_off(&mut vec![Entry::Append(Appended { segment, record, bytes, reply })]);
    answer.try_recv().unwrap()
}

fn read(wal: &Wal, segment: SegmentName) -> Vec<Record> {
    let record = |found| match found {
        Ok(Found::Record(record)) => record,
        other => panic!("{other:?}"),
    };
    wal.read(segment).map(record).collect()
}

#[tokio::test]
async fn should_read_back_on_a_real_disk_what_two_lanes_wrote() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("a/wal");
    let (wal, found) = Wal::open(&folder, Arc::new(RealFiles), u64::MAX).unwrap();
    assert_eq!(found, []);
    let lanes = [wal.lane("log-fast").unwrap(), wal.lane("log-slow").unwrap()];
    let mut tickets = Vec::new();
    for id in 0..1000 {
        let lane = id % 2;
        let body_len = if id % 100 == 0 { 300_000 } else { id as usize };
        tickets.push(lanes[lane as usize].append(segment(lane, id / 300), record(id, body_len)));
    }
    for ticket in tickets {
        ticket.await.unwrap();
    }
    lanes[0].forget(segment(0, 0));
    drop(lanes);
    let bytes = wal.bytes();
    drop(wal);

    let (wal, found) = Wal::open(&folder, Arc::new(RealFiles), u64::MAX).unwrap();
    let names: Vec<SegmentName> = found.iter().map(|found| found.name).collect();
    let expected = [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3)];
    assert_eq!(names, expected.map(|(writer, number)| segment(writer, number)));
    for (lane, number) in expected {
        let ids = (0..1000).filter(|id| id % 2 == lane && id / 300 == number);
        let all: Vec<Record> =
            ids.map(|id| record(id, if id % 100 == 0 { 300_000 } else { id as usize })).collect();
        assert_eq!(read(&wal, segment(lane, number)), all);
    }
    assert_eq!(wal.bytes(), bytes);
    assert_eq!(found.iter().map(|found| found.bytes).sum::<u64>(), bytes);
    for found in found {
        wal.delete(found.name).unwrap();
    }
    assert_eq!(wal.bytes(), 0);
}

#[test]
fn should_refuse_a_folder_in_which_another_works() {
    let data = tempfile::tempdir().unwrap();
    let (wal, _) = Wal::open(data.path(), Arc::new(RealFiles), 1).unwrap();
    let lane = wal.lane("log").unwrap();
    drop(wal);
    let error = Wal::open(data.path(), Arc::new(RealFiles), 1).unwrap_err().to_string();
    assert!(error.contains(&data.path().display().to_string()), "{error}");
    lane.close();
    assert!(Wal::open(data.path(), Arc::new(RealFiles), 1).is_ok());
}

const CHILD_FOLDER: &str = "SILTSTONE_TEST_WAL_FOLDER";

#[test]
fn should_be_free_again_and_whole_after_its_process_was_killed() {
    let data = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "log::wal::tests::child_that_waits_to_be_killed", "--nocapture"])
        .env(CHILD_FOLDER, data.path())
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(output.any(|line| line.unwrap().contains("acknowledged")));
    let error = Wal::open(data.path(), Arc::new(RealFiles), 1).unwrap_err();
    assert!(matches!(error, OpenError::Locked(_)));
    child.kill().unwrap();
    child.wait().unwrap();
    let (wal, _) = Wal::open(data.path(), Arc::new(RealFiles), 1).unwrap();
    assert_eq!(read(&wal, segment(0, 0)), [record(3, 100)]);
}

/// Does nothing unless the test above has started it.
#[tokio::test]
async fn child_that_waits_to_be_killed() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    let (wal, _) = Wal::open(Path::new(&folder), Arc::new(RealFiles), u64::MAX).unwrap();
    let lane = wal.lane("log").unwrap();
    lane.append(segment(0, 0), record(3, 100)).await.unwrap();
    println!("acknowledged");
    // Ends at the latest with whoever has started it.
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[tokio::test]
async fn should_say_that_it_is_full_until_something_is_forgotten() {
    let disk = TestDisk::new();
    let (wal, _) = open(&disk, 1000);
    let lane = wal.lane("log").unwrap();
    lane.append(segment(0, 0), record(0, 500)).await.unwrap();
    wal.room().unwrap();
    lane.append(segment(0, 1), record(1, 500)).await.unwrap();
    assert!(wal.room().unwrap_err().to_string().contains("1000"));
    lane.forget(segment(0, 0));
    lane.close();
    wal.room().unwrap();
}

#[tokio::test]
async fn should_sync_once_for_all_who_wait() {
    let disk = TestDisk::new();
    let mut writing = writing(&disk);
    let mut answers = Vec::new();
    let mut entries = Vec::new();
    for id in 0..700 {
        let (reply, answer) = oneshot::channel();
        let record = record(id, 10);
        let bytes = encoded_len(&record);
        entries.push(Entry::Append(Appended { segment: segment(0, 0), record, bytes, reply }));
        answers.push(answer);
    }
    writing.work_off(&mut entries);
    for mut answer in answers {
        answer.try_recv().unwrap().unwrap();
    }
    assert_eq!((disk.calls("sync"), disk.calls("append")), (1, 2));
}

#[test]
fn should_go_on_by_itself_when_the_disk_has_room_again() {
    let disk = TestDisk::new();
    let mut writing = writing(&disk);
    append(&mut writing, segment(0, 0), &record(0, 100)).unwrap();
    disk.disk.set_capacity(600);
    for id in 1..4 {
        let failure = append(&mut writing, segment(0, 0), &record(id, 800)).unwrap_err();
        let LogFailure::Io { source, .. } = &failure else { panic!("{failure:?}") };
        assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
        assert!(
            failure.to_string().contains("/data/wal") && failure.to_string().contains("free some"),
            "{failure}"
        );
    }
    append(&mut writing, segment(0, 0), &record(4, 20)).unwrap();
    disk.disk.set_capacity(u64::MAX);
    append(&mut writing, segment(0, 0), &record(5, 800)).unwrap();
    // Not even a new file was needed.
    assert_eq!(disk.calls("create"), 1);
    drop(writing);
    disk.disk.crash();
    let (wal, found) = open(&disk, u64::MAX);
    assert_eq!(read(&wal, segment(0, 0)), [record(0, 100), record(4, 20), record(5, 800)]);
    assert_eq!(found.len(), 1);
}

#[test]
fn should_go_on_in_another_file_after_a_failed_sync() {
    let disk = TestDisk::new();
    let mut writing = writing(&disk);
    append(&mut writing, segment(0, 0), &record(0, 100)).unwrap();
    disk.disk.fail_syncs(1);
    append(&mut writing, segment(0, 0), &record(1, 100)).unwrap_err();
    append(&mut writing, segment(0, 0), &record(2, 100)).unwrap();
    assert_eq!(disk.calls("create"), 2);
    drop(writing);
    disk.disk.crash();
    let (wal, found) = open(&disk, u64::MAX);
    assert_eq!(read(&wal, segment(0, 0)), [record(0, 100), record(2, 100)]);
    wal.delete(found[0].name).unwrap();
    assert_eq!(wal.bytes(), 0);
    assert!(disk.disk.list("data/wal").unwrap().is_empty());
}

#[test]
fn should_not_leave_files_behind_while_syncs_fail() {
    let disk = TestDisk::new();
    let mut writing = writing(&disk);
    disk.disk.fail_syncs(100);
    for id in 0..100 {
        append(&mut writing, segment(0, 0), &record(id, 10)).unwrap_err();
    }
    assert!(disk.disk.list("data/wal").unwrap().is_empty());
    append(&mut writing, segment(0, 0), &record(100, 10)).unwrap();
}

#[test]
fn should_not_append_to_a_segment_that_was_left_or_forgotten() {
    let disk = TestDisk::new();
    let mut writing = writing(&disk);
    append(&mut writing, segment(0, 1), &record(0, 10)).unwrap();
    append(&mut writing, segment(0, 0), &record(1, 10)).unwrap_err();
    writing.work_off(&mut vec![Entry::Forget(segment(0, 1))]);
    append(&mut writing, segment(0, 1), &record(2, 10)).unwrap_err();
    append(&mut writing, segment(0, 2), &record(3, 10)).unwrap();
    append(&mut writing, segment(1, 0), &record(4, 10)).unwrap();
}
