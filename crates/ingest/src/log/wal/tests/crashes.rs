//! Whatever happens and whenever: records are appended, segments rotate and are forgotten, syncs and truncates
//! fail, the disk is full now and then, the process dies at any call, and the machine crashes. What was
//! acknowledged is read back, once and in order, and nothing that was not appended. And each precaution is
//! needed: without it, this finds out.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::oneshot;

use super::super::writing::{Appended, Entry, Planted, Writing};
use super::disk::TestDisk;
use super::*;
use crate::log::record::encoded_len;

const SEEDS: u64 = 2000;

/// A promise that was broken, in words.
type Broken = String;
type Answer = oneshot::Receiver<Result<(), LogFailure>>;

#[derive(Default)]
struct Segment {
    /// What was appended, and whether it was acknowledged; in order.
    records: Vec<(Record, bool)>,
    is_forgotten: bool,
}

struct Run {
    generator: ChaCha8Rng,
    disk: TestDisk,
    segments: BTreeMap<SegmentName, Segment>,
    appended: u64,
    planted: Option<Planted>,
}

/// How many records were acknowledged, if no promise was broken.
fn run(seed: u64, planted: Option<Planted>) -> Result<usize, Broken> {
    let mut run = Run {
        generator: ChaCha8Rng::seed_from_u64(seed),
        disk: TestDisk::new(),
        segments: BTreeMap::new(),
        appended: 0,
        planted,
    };
    for life in 0..3 {
        run.live(life).map_err(|broken| format!("seed {seed}, life {life}: {broken}"))?;
        if run.generator.random_ratio(3, 4) {
            let fate = run.generator.random();
            run.disk.disk.crash_keeping_some(fate);
        }
        run.disk.disk.fail_syncs(0);
        run.disk.disk.set_capacity(u64::MAX);
        run.disk = TestDisk::process_on(run.disk.disk.clone(), seed ^ life);
    }
    let (wal, found) = open(&run.disk, u64::MAX);
    run.check(&wal, &found).map_err(|broken| format!("seed {seed}, in the end: {broken}"))?;
    let records = run.segments.values().flat_map(|segment| &segment.records);
    Ok(records.filter(|(_, acknowledged)| *acknowledged).count())
}

impl Run {
    /// One process: it looks at what is there, forgets some of it, and writes on as another writer.
    fn live(&mut self, life: u64) -> Result<(), Broken> {
        let (wal, found) = open(&self.disk, u64::MAX);
        self.check(&wal, &found)?;
        for segment in found {
            if self.generator.random() {
                self.forgets(segment.name);
                wal.delete(segment.name).unwrap();
            }
        }
        self.disk.let_writes_fall_short();
        let calls = self.generator.random_range(1..60);
        self.disk.die_after(calls);
        let mut writing = Writing::new(Arc::clone(&wal.folder));
        writing.planted = self.planted;
        let mut number = 0;
        while !self.disk.is_dead() && number < 12 {
            self.trouble();
            let (mut entries, answers) = self.entries(life, &mut number);
            writing.work_off(&mut entries);
            for (segment, at, mut answer) in answers {
                if let Ok(Ok(())) = answer.try_recv() {
                    self.segments.get_mut(&segment).unwrap().records[at].1 = true;
                }
            }
        }
        Ok(())
    }

    fn trouble(&mut self) {
        let generator = &mut self.generator;
        self.disk.disk.fail_syncs(if generator.random_ratio(1, 6) { 1 } else { 0 });
        self.disk.fail_truncates(if generator.random_ratio(1, 3) { 1 } else { 0 });
        let capacity =
            if generator.random_ratio(1, 5) { generator.random_range(100..4000) } else { u64::MAX };
        self.disk.disk.set_capacity(capacity);
    }

    /// What waits together.
    fn entries(&mut self, life: u64, number: &mut u64) -> (Vec<Entry>, Vec<(SegmentName, usize, Answer)>) {
        let (mut entries, mut answers) = (Vec::new(), Vec::new());
        for _ in 0..self.generator.random_range(1..6) {
            match self.generator.random_range(0..8) {
                0 => *number += 1,
                1 if *number > 0 => {
                    let old = segment(life, self.generator.random_range(0..*number));
                    self.forgets(old);
                    entries.push(Entry::Forget(old));
                }
                _ => {
                    let segment = segment(life, *number);
                    let record = record(self.appended, self.generator.random_range(0..300));
                    self.appended += 1;
                    let records = &mut self.segments.entry(segment).or_default().records;
                    records.push((record.clone(), false));
                    let (reply, answer) = oneshot::channel();
                    answers.push((segment, records.len() - 1, answer));
                    let bytes = encoded_len(&record);
                    entries.push(Entry::Append(Appended { segment, record, bytes, reply }));
                }
            }
        }
        (entries, answers)
    }

    fn forgets(&mut self, name: SegmentName) {
        self.segments.entry(name).or_default().is_forgotten = true;
    }

    fn check(&self, wal: &Wal, found: &[FoundSegment]) -> Result<(), Broken> {
        for (name, segment) in &self.segments {
            let mut rest = segment.records.as_slice();
            for found in wal.read(*name) {
                let record = match found.unwrap() {
                    Found::Torn(_) => continue,
                    Found::Damaged(damaged) => {
                        return Err(format!("damage where there is none: {damaged:?}"));
                    }
                    Found::Record(record) => record,
                };
                let Some(at) = rest.iter().position(|(appended, _)| *appended == record) else {
                    return Err(format!("{name:?}: never appended, twice, or out of order: {record:?}"));
                };
                segment.must_not_miss(&rest[..at])?;
                rest = &rest[at + 1..];
            }
            segment.must_not_miss(rest)?;
        }
        let is_ours = |found: &FoundSegment| self.segments.contains_key(&found.name);
        if found.iter().all(is_ours) { Ok(()) } else { Err("a segment out of nothing".to_owned()) }
    }
}

impl Segment {
    fn must_not_miss(&self, missed: &[(Record, bool)]) -> Result<(), Broken> {
        match missed.iter().find(|(_, acknowledged)| *acknowledged && !self.is_forgotten) {
            Some((record, _)) => Err(format!("lost: {record:?}")),
            None => Ok(()),
        }
    }
}

#[test]
fn should_keep_what_was_acknowledged_whatever_fails() {
    let acknowledged: usize = (0..SEEDS).map(|seed| run(seed, None).unwrap()).sum();
    assert!(acknowledged > 20_000, "{acknowledged}");
}

#[test]
fn should_find_out_who_answers_before_the_sync() {
    assert_found(Planted::AnswersBeforeSync);
}

#[test]
fn should_find_out_who_forgets_that_names_need_a_sync() {
    assert_found(Planted::ForgetsToSyncTheName);
}

#[test]
fn should_find_out_who_trusts_a_second_sync() {
    assert_found(Planted::SyncsAgainAfterFailure);
}

#[test]
fn should_find_out_who_leaves_half_a_record() {
    assert_found(Planted::DoesNotCutAfterFailure);
}

fn assert_found(planted: Planted) {
    let broken = (0..SEEDS).filter_map(|seed| run(seed, Some(planted)).err()).count();
    assert!(broken > 2, "{planted:?} was found {broken} times");
}
