use std::time::Duration;

use proptest::prelude::*;
use ulid::Ulid;

use super::times::HOUR;
use super::*;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * HOUR;
/// Noon of some day.
const NOON: u64 = 20_000 * DAY + 12 * HOUR;

fn piece(number: u64, section: Section, rows: u64, from: u64, to: u64, drawn: u64) -> Piece {
    let id = BlockId(Ulid::from_parts(drawn / 1_000_000, number.into()));
    Piece {
        id,
        section,
        rows,
        bytes: rows * 28,
        min_start_unix_nano: from,
        max_start_unix_nano: to,
        job: None,
        until: None,
    }
}

/// Blocks of half a minute each, flushed as they were filled.
fn flushed(count: u64, rows: u64, from: u64) -> Vec<Piece> {
    let times = (0..count).map(|number| (number, from + number * 30 * SECOND));
    times
        .map(|(number, from)| {
            let to = from + 30 * SECOND;
            piece(number, Section::Inbox, rows, from, to, to)
        })
        .collect()
}

fn merged(number: u64, rows: u64, from: u64, to: u64) -> Piece {
    piece(1_000 + number, Section::Day(Day::of_unix_nano(from)), rows, from, to, to)
}

fn planned(pieces: &[Piece], now: u64) -> Vec<Job> {
    plan(pieces, now, &Policy::default())
}

fn once(pieces: &[Piece], now: u64) -> Vec<Job> {
    plan(pieces, now, &Policy { at_once: true, ..Policy::default() })
}

fn inputs(jobs: &[Job]) -> Vec<usize> {
    jobs.iter().map(|job| job.inputs.len()).collect()
}

#[test]
fn should_wait_for_others_a_quarter_of_an_hour() {
    let pieces = flushed(10, 3_000, NOON);
    let first = NOON + 30 * SECOND;
    assert_eq!(planned(&pieces, first + 14 * MINUTE), []);
    assert_eq!(inputs(&planned(&pieces, first + 15 * MINUTE)), [10]);
    assert_eq!(inputs(&once(&pieces, NOON)), [10]);
    // Three small ones wait for the end of their hour, as one does that has to go into its day alone.
    for count in [1, 3] {
        let few = &pieces[..count];
        assert_eq!(planned(few, NOON + HOUR + 19 * MINUTE), []);
        assert_eq!(inputs(&planned(few, NOON + HOUR + 20 * MINUTE)), [count]);
    }
    assert_eq!(inputs(&planned(&flushed(2, 40_000, NOON), first + 15 * MINUTE)), [2]);
}

#[test]
fn should_not_wait_with_a_batch_and_cut_it_into_full_blocks() {
    let pieces = flushed(50, 180_000, NOON);
    let jobs = planned(&pieces, NOON + 25 * MINUTE);
    assert_eq!(inputs(&jobs), [50]);
    // Nine million rows: five slices of five minutes.
    let seconds: Vec<u64> = jobs[0].cuts.iter().map(|cut| (cut - NOON) / SECOND).collect();
    assert_eq!(seconds, [300, 600, 900, 1_200]);
}

#[test]
fn should_cut_off_what_came_late_and_what_is_of_the_hour_before() {
    let mut pieces = flushed(60, 180_000, NOON + HOUR);
    pieces.iter_mut().for_each(|piece| piece.min_start_unix_nano -= 2 * DAY);
    let jobs = planned(&pieces, NOON + HOUR + 31 * MINUTE);
    let [job] = jobs.as_slice() else { panic!("{jobs:?}") };
    assert_eq!(&job.cuts[..2], [NOON, NOON + HOUR]);
    assert_eq!(job.cuts.len(), 7, "{:?}", job.cuts);
    let even = job.cuts[2..].windows(2).map(|cuts| cuts[1] - cuts[0]);
    assert!(even.clone().all(|length| (4 * MINUTE..6 * MINUTE).contains(&length)), "{:?}", job.cuts);
}

#[test]
fn should_cut_old_spans_in_no_order_evenly() {
    let rows = 200_000;
    let old = |number| piece(number, Section::Inbox, rows, NOON - 9 * DAY, NOON - 8 * DAY + number, NOON);
    let pieces: Vec<Piece> = (0..40).map(old).collect();
    let jobs = planned(&pieces, NOON);
    let [job] = jobs.as_slice() else { panic!("{jobs:?}") };
    let longest = job.cuts.windows(2).map(|cuts| cuts[1] - cuts[0]).max().unwrap();
    assert!(longest < 6 * HOUR, "{:?}", job.cuts);
}

/// Twenty ingesters fill a block in four seconds each, one a fifth of a second after the other.
#[test]
fn should_cut_finely_where_other_jobs_have_rows_of_the_same_time() {
    let flush = |number: u64| {
        let to = NOON + 4 * SECOND + number * SECOND / 5;
        piece(number, Section::Inbox, 200_000, to - 2 * DAY, to, to)
    };
    let pieces: Vec<Piece> = (0..128).map(flush).collect();
    let jobs = planned(&pieces, NOON + MINUTE);
    assert_eq!(inputs(&jobs), [64, 64]);
    let [later, earlier] = [&jobs[0], &jobs[1]];
    // The first job has rows up to the end of its last block, the second one from four seconds before its first.
    let (both_from, both_to) =
        (later.inputs[0].max_start_unix_nano - 4 * SECOND, earlier.inputs[63].max_start_unix_nano);
    let is_of_both = |slice: &[u64]| slice[1] > both_from && slice[0] < both_to;
    for job in [earlier, later] {
        let (fine, full): (Vec<&[u64]>, Vec<&[u64]>) =
            job.cuts.windows(2).filter(|slice| slice[0] >= NOON).partition(|slice| is_of_both(slice));
        // At the edge there is little, so that the first or last one is long.
        let is_short = |slice: &&&[u64]| slice[1] - slice[0] < 3 * SECOND / 2;
        assert!(fine.iter().filter(is_short).count() >= 3, "{fine:?}, {full:?}");
        let is_of_a_block = |slice: &&&[u64]| (17..19).contains(&((slice[1] - slice[0]) * 10 / SECOND));
        assert!(full.iter().filter(is_of_a_block).count() >= 3, "{full:?}");
    }
}

#[test]
fn should_cut_finely_what_lies_in_many_layers() {
    let layers = |count: u64| -> Vec<Piece> {
        (0..count).map(|number| merged(number, 200_000, NOON - 3 * HOUR, NOON)).collect()
    };
    // All of it together: full blocks.
    let jobs = planned(&layers(64), NOON + 2 * DAY);
    assert_eq!((inputs(&jobs), jobs[0].cuts.len()), (vec![64], 7));
    // A third of it: what can be merged with the other two thirds, a short time after the other.
    let jobs = planned(&layers(192), NOON + 2 * DAY);
    assert_eq!(inputs(&jobs), [64; 3]);
    assert!(jobs.iter().all(|job| job.cuts.len() == 47), "{jobs:?}");
}

#[test]
fn should_take_the_newest_first_and_keep_within_the_bounds() {
    let pieces = [flushed(200, 10_000, NOON), flushed(1, 10_000, NOON + 3 * HOUR)].concat();
    let jobs = planned(&pieces, NOON + 5 * HOUR);
    let newest: Vec<u64> = jobs.iter().map(|job| job.inputs[0].max_start_unix_nano).collect();
    assert!(newest.is_sorted_by(|one, next| one > next), "{newest:?}");
    assert_eq!(inputs(&jobs), [1, 17, 64, 55, 64]);
}

#[test]
fn should_merge_an_hour_that_is_over_if_that_makes_a_large_block() {
    let quarter = |rows: u64| -> Vec<Piece> {
        let from = |number| NOON + number * 15 * MINUTE;
        (0..4).map(|number| merged(number, rows, from(number), from(number + 1))).collect()
    };
    assert_eq!(planned(&quarter(400_000), NOON + HOUR + 39 * MINUTE), []);
    assert_eq!(inputs(&planned(&quarter(400_000), NOON + HOUR + 40 * MINUTE)), [4]);
    let jobs = planned(&quarter(900_000), NOON + 2 * HOUR);
    assert_eq!((inputs(&jobs), jobs[0].cuts.len()), (vec![4], 1));
    // They wait for the end of the day.
    assert_eq!(planned(&quarter(90_000), NOON + 2 * HOUR), []);
    assert_eq!(inputs(&planned(&quarter(90_000), NOON + 20 * HOUR)), [4]);
    // Large enough: they are left alone.
    assert_eq!(planned(&quarter(1_600_000), NOON + 20 * HOUR), []);
}

#[test]
fn should_merge_what_comes_late_with_its_like_only() {
    let morning = NOON - 10 * HOUR;
    let large = merged(0, 900_000, morning, morning + 5 * HOUR);
    let late = |number: u64| piece(number, large.section, 1_000, morning + number, NOON, NOON + 20 * HOUR);
    let with = |count: u64| [vec![large.clone()], (0..count).map(late).collect()].concat();
    let now = NOON + 21 * HOUR;
    assert_eq!(planned(&with(31), now), []);
    assert_eq!(inputs(&planned(&with(32), now)), [32]);
    assert_eq!(inputs(&planned(&with(3), now + 5 * HOUR)), [3]);
    assert_eq!(inputs(&once(&with(3), now)), [3]);
    // A third of the large one: a fair share.
    let much = piece(7, large.section, 300_000, morning, NOON, NOON + 20 * HOUR);
    assert_eq!(inputs(&planned(&[large, much], now)), [2]);
}

#[test]
fn should_not_merge_over_a_full_block() {
    let from = |number| NOON - 12 * HOUR + number * HOUR;
    let rows = [400_000, 400_000, 1_800_000, 400_000, 400_000, 400_000];
    let of_hour = |(number, rows): (u64, &u64)| merged(number, *rows, from(number), from(number + 1));
    let pieces: Vec<Piece> = (0..).zip(&rows).map(of_hour).collect();
    assert_eq!(inputs(&planned(&pieces, NOON + 2 * DAY)), [2, 3]);
}

#[test]
fn should_say_what_waits() {
    let pieces = [flushed(3, 100, NOON), vec![merged(0, 500_000, NOON - DAY, NOON - DAY + HOUR)]].concat();
    let waiting_of = |pieces: &[Piece]| backlog(pieces, &planned(pieces, NOON + 2 * MINUTE));
    let mut waiting = waiting_of(&pieces);
    let oldest = Some(NOON + 30 * SECOND);
    assert_eq!(waiting, Backlog { blocks: 3, rows: 300, bytes: 8_400, oldest_unmerged_unix_nano: oldest });
    let more = [pieces, vec![merged(1, 500_000, NOON - DAY, NOON - DAY + HOUR)]].concat();
    assert_eq!(waiting_of(&more).rows, 1_000_300);
    assert_eq!(waiting_of(&[]), Backlog::default());
    waiting.and(&Backlog::default());
    waiting.and(&waiting_of(&flushed(1, 7, NOON + HOUR)));
    assert_eq!(waiting, Backlog { blocks: 4, rows: 307, bytes: 8_596, oldest_unmerged_unix_nano: oldest });
}

#[test]
fn should_stand_a_policy_of_nothing() {
    let nothing = Policy {
        target_rows: 0,
        target_bytes: 0,
        most_inputs: 0,
        most_rows: 0,
        wait: Duration::MAX,
        day_slack: Duration::MAX,
        ..Policy::default()
    };
    let pieces = [flushed(5, 100, NOON), vec![merged(0, 0, 5, 0)]].concat();
    assert_eq!(inputs(&plan(&pieces, u64::MAX, &nothing)), [1; 5]);
}

/// Times near the ends, around one day, and anywhere.
fn any_time() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => NOON - DAY..NOON + DAY,
        1 => 0..10u64,
        1 => u64::MAX - 10..=u64::MAX,
        1 => any::<u64>(),
    ]
}

fn any_piece() -> impl Strategy<Value = Piece> {
    let rows = prop_oneof![4 => 0..300_000u64, 2 => 0..3_000_000u64, 1 => any::<u64>()];
    let section = prop_oneof![
        3 => Just(None),
        3 => (20_000 - 1..=20_000u32).prop_map(Some),
        1 => any::<u32>().prop_map(Some),
    ];
    let drawn = prop_oneof![3 => NOON - DAY..NOON + DAY, 1 => any::<u64>()];
    (0..500u64, section, rows, any_time(), any_time(), drawn, 0..50u64).prop_map(
        |(number, day, rows, from, to, drawn, row_bytes)| {
            let section = day.map_or(Section::Inbox, |day| Section::Day(Day(day)));
            let bytes = rows.saturating_mul(row_bytes);
            Piece { bytes, ..piece(number, section, rows.min(u64::MAX / 64), from, to, drawn) }
        },
    )
}

/// A merge whose rows lie in a few slices, all in one if that is wanted.
fn merge(job: &Job, skew: u64, next: &mut u64, now: u64) -> Vec<Piece> {
    let [from, to] = [
        job.inputs.iter().map(|piece| piece.min_start_unix_nano).min().unwrap(),
        job.inputs.iter().map(|piece| piece.max_start_unix_nano).max().unwrap(),
    ];
    let bounds: Vec<u64> = std::iter::once(from).chain(job.cuts.iter().copied()).collect();
    let slices = (bounds.len() as u64).min(1 + skew % 70);
    let rows = job.inputs.iter().fold(0u64, |sum, piece| sum.saturating_add(piece.rows));
    let mut outputs = Vec::new();
    for slice in 0..slices {
        let share = if slice == 0 { rows - rows / slices * (slices - 1) } else { rows / slices };
        let from = bounds[(slice + skew) as usize % bounds.len()];
        let section = match job.inputs[0].section {
            // All inputs of such a job are of one day.
            Section::Day(day) => Section::Day(day),
            Section::Inbox => Section::Day(Day::of_unix_nano(from)),
        };
        // However much it is, a few full blocks are modelled.
        let full = (share / 2_000_000).min(20);
        let sizes = (0..full).map(|_| 2_000_000).chain([share - full * 2_000_000]).filter(|rows| *rows > 0);
        outputs.extend(sizes.map(|rows| {
            *next += 1;
            piece(*next, section, rows, from, to.max(from), now)
        }));
    }
    outputs
}

fn without(pieces: &[Piece], jobs: &[Job]) -> Vec<Piece> {
    let gone: HashSet<BlockId> = jobs.iter().flat_map(|job| &job.inputs).map(|piece| piece.id).collect();
    pieces.iter().filter(|piece| !gone.contains(&piece.id)).cloned().collect()
}

fn has_small_inputs_only(job: &Job, policy: &Policy) -> bool {
    let is_small = |piece: &Piece| policy.is_small(policy.size(piece));
    job.inputs.iter().all(|piece| piece.section == Section::Inbox || is_small(piece))
}

proptest! {
    #[test]
    fn should_plan_anything_within_its_bounds(
        pieces in prop::collection::vec(any_piece(), 0..150),
        now in any_time(),
        at_once in any::<bool>(),
    ) {
        let policy = Policy { at_once, ..Policy::default() };
        let jobs = plan(&pieces, now, &policy);
        let mut taken = HashSet::new();
        for job in &jobs {
            prop_assert!(job.inputs.iter().all(|piece| taken.insert(piece.id)));
            prop_assert!(job.inputs.iter().all(|piece| piece.section == job.inputs[0].section));
            prop_assert!(job.inputs.len() > usize::from(job.inputs[0].section != Section::Inbox));
            prop_assert!(job.inputs.len() <= policy.most_inputs);
            let rows = job.inputs.iter().fold(0u64, |sum, piece| sum.saturating_add(piece.rows));
            prop_assert!(rows <= policy.most_rows || job.inputs.len() == 1);
            prop_assert!(job.cuts.is_sorted_by(|one, next| one < next));
            prop_assert!(has_small_inputs_only(job, &policy));
        }
        let mut unique = HashSet::new();
        let mut reversed: Vec<Piece> = pieces.into_iter().filter(|piece| unique.insert(piece.id)).collect();
        reversed.reverse();
        prop_assert_eq!(plan(&reversed, now, &policy), jobs);
    }

    #[test]
    fn should_come_to_an_end_with_an_empty_inbox(
        pieces in prop::collection::vec(any_piece(), 0..150),
        skew in any::<u32>(),
        // Whatever hour there is, it is over then.
        now in prop_oneof![Just(u64::MAX), any_time()],
        at_once in any::<bool>(),
    ) {
        let policy = Policy { at_once, ..Policy::default() };
        let (mut pieces, mut next, mut rounds) = (pieces, 1_000, 0);
        loop {
            let jobs = plan(&pieces, now, &policy);
            if jobs.is_empty() {
                break;
            }
            pieces = without(&pieces, &jobs);
            for job in &jobs {
                pieces.extend(merge(job, u64::from(skew), &mut next, now));
            }
            rounds += 1;
            prop_assert!(rounds < 200);
        }
        let must_be_empty = at_once || now == u64::MAX;
        prop_assert!(!must_be_empty || pieces.iter().all(|piece| piece.section != Section::Inbox));
    }
}
