use std::collections::BTreeSet;

use futures::executor::block_on;
use siltstone_format::day::Day;
use siltstone_format::filter::transposed::{GroupKind, merge};
use siltstone_format::path::ObjectKey;
use siltstone_testkit::Operation;

use super::bench::{Bench, ever, key, tenant};
use crate::Catalog;
use crate::block_page::Section;
use crate::groups::plan::Limits;
use crate::snapshot::Cover;

const FIRST_DAY: u32 = 20_000;

/// So many days of blocks, grouped as they come.
fn fill(bench: &mut Bench, days: u32, blocks_a_day: usize) -> Catalog {
    let catalog = bench.catalog();
    let one = tenant("one");
    for day in 0..days {
        let keys: Vec<u64> = (0..blocks_a_day as u64).map(|block| u64::from(day) * 1_000 + block).collect();
        // Two sizes, by turns.
        let blocks: Vec<(&[u64], u8)> = keys.chunks(1).map(|keys| (keys, 4 + (day % 2) as u8)).collect();
        bench.add_day(&catalog, &one, Day(FIRST_DAY + day), &blocks);
        block_on(catalog.regroup(&one)).unwrap();
    }
    catalog
}

#[test]
fn should_find_a_trace_of_four_hundred_days_with_few_requests() {
    for (blocks_a_day, pages_of_a_day) in [(1, 1), (20, 1)] {
        let mut bench = Bench::new();
        fill(&mut bench, 400, blocks_a_day);
        let one = tenant("one");
        let (page, _) = bench.all(&one);
        let groups = page.groups.iter().filter(|group| group.kind == GroupKind::TraceIds).count() as u64;
        let days_with_loose = page.pages.iter().filter(|page| page.grouped < page.blocks).count() as u64;
        assert!(groups <= 8, "{groups}");

        let reader = bench.catalog();
        let snapshot = block_on(reader.snapshot(&Cover::default())).unwrap();
        let wanted = [vec![key(123_000)]];
        let lookup = || reader.blocks_that_may_hold(&snapshot, &one, ever(GroupKind::TraceIds, &wanted));
        let (found, counts) = bench.counted(lookup());
        let found = found.unwrap();
        let hits = found.holding.len() as u64;
        println!(
            "400 days of {blocks_a_day}: {groups} groups, {hits} found, {} unasked; cold {counts:?}",
            found.unasked.len()
        );
        assert!((1..=6).contains(&hits) && found.unasked.len() < Limits::default().loose_of_days);
        // A row of each group; beside it its index; the tenant's page before, and behind
        // it the pages of days.
        assert_eq!(counts.of(Operation::GetRange), groups);
        assert!(
            counts.of(Operation::Get) <= 1 + groups + hits * pages_of_a_day + days_with_loose,
            "{counts:?}"
        );
        assert!(counts.depth <= 3, "{counts:?}");

        // Once that is known: a row of each group, and nothing else.
        let (_, counts) = bench.counted(lookup());
        assert_eq!((counts.of(Operation::GetRange), counts.total(), counts.depth), (groups, groups, 1));
    }
}

#[test]
fn should_ask_only_groups_of_the_time_that_is_wanted() {
    let mut bench = Bench::new();
    let catalog = bench.catalog();
    let one = tenant("one");
    let blocks = [(&[1][..], 4); 40];
    bench.add_day(&catalog, &one, Day(FIRST_DAY), &blocks);
    block_on(catalog.regroup(&one)).unwrap();
    let blocks = [(&[1][..], 5); 8];
    bench.add_day(&catalog, &one, Day(FIRST_DAY + 100), &blocks);
    block_on(catalog.regroup(&one)).unwrap();
    let snapshot = block_on(bench.catalog().snapshot(&Cover::default())).unwrap();
    let reader = bench.catalog();
    let all_of_any = [vec![key(1)]];
    let mut wanted = ever(GroupKind::TraceIds, &all_of_any);
    wanted.from_unix_nano = Day(FIRST_DAY + 50).start_unix_nano();
    let (found, counts) = bench.counted(reader.blocks_that_may_hold(&snapshot, &one, wanted));
    assert_eq!((found.unwrap().holding.len(), counts.of(Operation::GetRange)), (8, 1));
}

#[test]
fn should_ask_for_many_terms_in_one_request_of_each_group_where_rows_are_near() {
    let mut bench = Bench::new();
    fill(&mut bench, 40, 1);
    let one = tenant("one");
    let (page, _) = bench.all(&one);
    let groups = page.groups.iter().filter(|group| group.kind == GroupKind::Terms).count() as u64;
    let reader = bench.catalog();
    let snapshot = block_on(reader.snapshot(&Cover::default())).unwrap();
    let terms: Vec<Vec<_>> = (0..10).map(|number| vec![key(number * 1_000)]).collect();
    let lookup = reader.blocks_that_may_hold(&snapshot, &one, ever(GroupKind::Terms, &terms));
    let (_, counts) = bench.counted(lookup);
    assert_eq!(counts.of(Operation::GetRange), groups, "{counts:?}");
}

#[test]
fn should_build_with_one_request_for_each_block_and_a_few_for_the_rest() {
    let mut bench = Bench::new();
    let catalog = bench.catalog();
    let one = tenant("one");
    let blocks = [(&[1][..], 4); 30];
    bench.add_day(&catalog, &one, Day(FIRST_DAY), &blocks);
    let (done, counts) = bench.counted(catalog.regroup(&one));
    assert_eq!(done.unwrap().blocks, 30);
    assert_eq!(counts.of(Operation::GetRange), 30);
    // Two groups with their indexes; the day's page, the tenant's page and the root.
    assert_eq!(counts.of(Operation::Put), 7, "{counts:?}");
    // While there is little to do: only what the catalog itself costs.
    bench.add_day(&catalog, &one, Day(FIRST_DAY), &blocks[..7]);
    let (done, counts) = bench.counted(catalog.regroup(&one));
    assert!(done.unwrap().built.is_empty());
    assert_eq!((counts.of(Operation::Put), counts.of(Operation::GetRange)), (0, 0));
}

#[test]
fn should_merge_groups_that_are_larger_than_a_part_piece_by_piece() {
    let mut bench = Bench::new();
    let catalog = bench.catalog();
    let one = tenant("one");
    // 1 MiB and 1.25 MiB each: 32 and 10 MiB of trace filters.
    for (day, blocks) in [(0, 32), (1, 10)] {
        let keys: Vec<u64> = (0..blocks).map(|block| day * 1_000 + block).collect();
        let blocks: Vec<(&[u64], u8)> = keys.chunks(1).map(|keys| (keys, 52)).collect();
        bench.add_day(&catalog, &one, Day(FIRST_DAY + day as u32), &blocks);
        while block_on(catalog.regroup_within(&one, &alone(), &BTreeSet::new())).unwrap().more {}
    }
    let (before, blocks) = bench.all(&one);
    let traces = |groups: &[crate::tenant_page::GroupRef]| {
        groups.iter().filter(|group| group.kind == GroupKind::TraceIds).cloned().collect::<Vec<_>>()
    };
    let inputs = traces(&before.groups);
    assert!(inputs.len() > 1);
    let old: Vec<_> =
        inputs.iter().map(|group| bench.get(&ObjectKey::FilterGroup(group.id)).unwrap()).collect();
    let dead = blocks[5].1.id();
    bench.retire(&catalog, &one, Section::Day(Day(FIRST_DAY)), vec![dead]);
    let few = Limits { groups_of_days: 1, cheap_bytes: 1 << 30, ..Limits::default() };
    let (done, counts) = bench.counted(catalog.regroup_within(&one, &few, &BTreeSet::new()));
    let done = done.unwrap();
    println!("{} bytes written: {counts:?}", done.bytes_written);
    assert!(counts.of(Operation::MultipartPart) >= 5 && counts.of(Operation::MultipartComplete) >= 1);
    let (after, _) = bench.all(&one);
    let after = traces(&after.groups);
    let [merged] = &after[..] else { panic!("{after:?}") };
    let written = bench.get(&ObjectKey::FilterGroup(merged.id)).unwrap();
    // The same, in any order of the inputs.
    let slices: Vec<&[u8]> = old.iter().map(|bytes| &bytes[..]).collect();
    assert_eq!(written.len(), merge(&slices, |block| *block == dead).unwrap().bytes.len());
    bench.check_groups(&one);
    for number in [0, 5, 31, 1_003] {
        bench.check(&one, ever(GroupKind::TraceIds, &[vec![key(number)]]));
    }
}

/// Nothing is merged.
fn alone() -> Limits {
    Limits { loose_of_days: 1, growth: 0, groups_of_days: 100, ..Limits::default() }
}
