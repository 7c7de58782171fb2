use std::collections::BTreeSet;

use futures::executor::block_on;
use proptest::prelude::*;
use siltstone_format::day::Day;
use siltstone_format::filter::transposed::GroupKind;
use siltstone_format::id::BlockId;
use siltstone_format::path::ObjectKey;

use super::bench::{Bench, ever, key, tenant};
use crate::block_page::Section;
use crate::change::CutDays;
use crate::groups::Wanted;
use crate::groups::plan::Limits;

const FIRST_DAY: u32 = 20_000;

#[derive(Clone, Debug)]
enum Step {
    Flush {
        day: u32,
        keys: Vec<u64>,
        size: u8,
    },
    AddDay {
        day: u32,
        blocks: Vec<(Vec<u64>, u8)>,
    },
    Fold,
    Retire {
        part: prop::sample::Index,
        every: usize,
    },
    Regroup {
        loose: usize,
    },
    Cut {
        day: u32,
    },
    /// The row of a key, a whole group, its index, or a block's own filters.
    Damage {
        which: prop::sample::Index,
        what: u8,
        bit: prop::sample::Index,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let keys = || prop::collection::vec(0u64..60, 0..12);
    let day = || 0u32..4;
    prop_oneof![
        2 => (day(), keys(), 0u8..10).prop_map(|(day, keys, size)| Step::Flush { day, keys, size }),
        3 => (day(), prop::collection::vec((keys(), 0u8..10), 1..6))
            .prop_map(|(day, blocks)| Step::AddDay { day, blocks }),
        1 => Just(Step::Fold),
        1 => (any::<prop::sample::Index>(), 1usize..4).prop_map(|(part, every)| Step::Retire { part, every }),
        4 => (1usize..4).prop_map(|loose| Step::Regroup { loose }),
        1 => (0u32..3).prop_map(|day| Step::Cut { day }),
        1 => (any::<prop::sample::Index>(), 0u8..6, any::<prop::sample::Index>())
            .prop_map(|(which, what, bit)| Step::Damage { which, what, bit }),
    ]
}

fn limits(loose: usize) -> Limits {
    Limits { loose_of_days: loose, loose_of_inbox: loose, groups_of_days: 3, ..Limits::default() }
}

fn take(bench: &mut Bench, step: &Step) {
    let catalog = bench.catalog();
    let tenant = tenant("one");
    let day = |day: &u32| Day(FIRST_DAY + day);
    match step {
        Step::Flush { day: at, keys, size } => bench.flush(&catalog, &tenant, day(at), keys, *size),
        Step::AddDay { day: at, blocks } => {
            let blocks: Vec<(&[u64], u8)> = blocks.iter().map(|(keys, size)| (&keys[..], *size)).collect();
            bench.add_day(&catalog, &tenant, day(at), &blocks);
        }
        Step::Fold => drop(block_on(catalog.fold()).unwrap()),
        Step::Retire { part, every } => {
            let (_, blocks) = bench.all(&tenant);
            let sections: BTreeSet<Section> = blocks.iter().map(|(section, _)| *section).collect();
            if sections.is_empty() {
                return;
            }
            let section = *sections.iter().nth(part.index(sections.len())).unwrap();
            let of_section = blocks.iter().filter(|(of, _)| *of == section);
            let gone: Vec<BlockId> = of_section.step_by(*every).map(|(_, block)| block.id()).collect();
            bench.retire(&catalog, &tenant, section, gone);
        }
        Step::Regroup { loose } => {
            drop(block_on(catalog.regroup_within(&tenant, &limits(*loose), &BTreeSet::new())).unwrap())
        }
        Step::Cut { day: at } => {
            let cut = CutDays { tenant, first_kept: day(at) };
            block_on(catalog.publish(&cut)).unwrap();
        }
        Step::Damage { which, what, bit } => damage(bench, *which, *what, *bit),
    }
}

fn damage(bench: &mut Bench, which: prop::sample::Index, what: u8, bit: prop::sample::Index) {
    let (page, blocks) = bench.all(&tenant("one"));
    if what == 5 {
        if let Some((_, block)) = (!blocks.is_empty()).then(|| &blocks[which.index(blocks.len())]) {
            flip(bench, &ObjectKey::Origins(block.id()), bit);
        }
        return;
    }
    if page.groups.is_empty() {
        return;
    }
    let group = &page.groups[which.index(page.groups.len())];
    let (rows, index) = (ObjectKey::FilterGroup(group.id), ObjectKey::Page(group.index));
    match what {
        0 | 1 => flip(bench, &rows, bit),
        2 => bench.delete(&rows),
        3 => bench.delete(&index),
        _ => flip(bench, &index, bit),
    }
}

fn flip(bench: &Bench, key: &ObjectKey, bit: prop::sample::Index) {
    let Some(content) = bench.get(key) else { return };
    let mut content = content.to_vec();
    let at = bit.index(content.len() * 8);
    content[at / 8] ^= 1 << (at % 8);
    bench.put(key, content.into());
}

fn check_all(bench: &mut Bench, is_whole: bool) {
    let tenant = tenant("one");
    let mut check = |wanted: Wanted<'_>| match is_whole {
        true => drop(bench.check_exact(&tenant, wanted)),
        false => drop(bench.check(&tenant, wanted)),
    };
    for kind in [GroupKind::TraceIds, GroupKind::Terms] {
        for number in [0, 7, 33, 59, 1_000] {
            check(ever(kind, &[vec![key(number)]]));
        }
        let both = [vec![key(1), key(2), key(1_001)], vec![key(3), key(4)]];
        check(ever(kind, &both));
        check(ever(kind, &[]));
        check(ever(kind, &[vec![]]));
        let (from, to) = (Day(FIRST_DAY + 1).start_unix_nano(), Day(FIRST_DAY + 2).start_unix_nano());
        let day = Wanted { kind, all_of_any: &both[..1], from_unix_nano: from, to_unix_nano: to };
        check(day);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn should_never_miss_a_block_whatever_was_done_and_damaged(
        steps in prop::collection::vec(step(), 1..24),
    ) {
        let mut bench = Bench::new();
        for step in &steps {
            take(&mut bench, step);
        }
        check_all(&mut bench, false);
        take(&mut bench, &Step::Regroup { loose: 1 });
        check_all(&mut bench, false);
        bench.check_groups(&tenant("one"));
    }

    #[test]
    fn should_be_exact_and_keep_the_books_where_nothing_is_damaged(
        steps in prop::collection::vec(step().prop_filter("whole", |step| !matches!(step, Step::Damage { .. })), 1..30),
    ) {
        let mut bench = Bench::new();
        let tenant = tenant("one");
        for step in &steps {
            take(&mut bench, step);
            bench.check_groups(&tenant);
        }
        check_all(&mut bench, true);
        take(&mut bench, &Step::Regroup { loose: 1 });
        bench.check_groups(&tenant);
        let found = bench.check(&tenant, ever(GroupKind::Terms, &[vec![key(3)]]));
        prop_assert!(found.unread.is_empty());
        // All that is folded is in groups now.
        let (page, blocks) = bench.all(&tenant);
        prop_assert!(blocks.iter().all(|(_, block)| block.grouped), "{page:?}");
    }
}

#[test]
fn should_build_a_lost_group_anew_from_the_blocks() {
    for lost in 0..3 {
        let mut bench = Bench::new();
        let catalog = bench.catalog();
        let one = tenant("one");
        for day in 0..4 {
            bench.add_day(&catalog, &one, Day(FIRST_DAY + day), &[(&[1, 2], 4), (&[u64::from(day)], 4)]);
        }
        block_on(catalog.regroup(&one)).unwrap();
        let (page, _) = bench.all(&one);
        assert_eq!(page.groups.len(), 2);
        let group = page.groups.iter().find(|group| group.kind == GroupKind::Terms).unwrap();
        match lost {
            0 => bench.delete(&ObjectKey::Page(group.index)),
            1 => bench.put(&ObjectKey::Page(group.index), vec![7; 100].into()),
            _ => bench.delete(&ObjectKey::FilterGroup(group.id)),
        }
        let found = bench.check(&one, ever(GroupKind::Terms, &[vec![key(3)]]));
        assert_eq!(found.unread.len(), 1);
        assert_eq!(found.holding.len() + found.unasked.len(), 8);
        assert!(bench.check(&one, ever(GroupKind::TraceIds, &[vec![key(3)]])).unread.is_empty());

        // A group whose rows are gone is found out when it is merged.
        let more = [(&[9, 3][..], 4); 8];
        bench.add_day(&catalog, &one, Day(FIRST_DAY + 9), &more);
        let catalog = bench.catalog();
        let done = block_on(catalog.regroup(&one)).unwrap();
        assert!(done.given_up.contains(&group.id) && !done.more, "{done:?}");
        bench.check_groups(&one);
        let found = bench.check(&one, ever(GroupKind::Terms, &[vec![key(3)]]));
        assert_eq!((found.unread.len(), found.unasked.len(), found.holding.len()), (0, 0, 9));
    }
}

#[test]
fn should_build_a_damaged_group_anew_when_told_so() {
    let mut bench = Bench::new();
    let catalog = bench.catalog();
    let one = tenant("one");
    let blocks = [(&[1][..], 4); 8];
    bench.add_day(&catalog, &one, Day(FIRST_DAY), &blocks);
    block_on(catalog.regroup(&one)).unwrap();
    let (page, _) = bench.all(&one);
    let rows = ObjectKey::FilterGroup(page.groups[0].id);
    let damaged = vec![0; bench.get(&rows).unwrap().len()];
    bench.put(&rows, damaged.into());
    let found = bench.check(&one, ever(page.groups[0].kind, &[vec![key(8)]]));
    assert_eq!((found.holding.len(), found.unread.len()), (8, 1));
    let unread = found.unread.iter().map(|unread| unread.group).collect();
    let done = block_on(catalog.regroup_without(&one, &unread)).unwrap();
    assert_eq!((done.built.len(), done.given_up.as_slice()), (1, [page.groups[0].id].as_slice()));
    bench.check_groups(&one);
    assert_eq!(bench.check_exact(&one, ever(page.groups[0].kind, &[vec![key(8)]])).holding, []);
}

#[test]
fn should_keep_a_lost_group_while_a_page_of_its_time_is_damaged() {
    let mut bench = Bench::new();
    let catalog = bench.catalog();
    let one = tenant("one");
    let blocks = [(&[1][..], 4); 8];
    bench.add_day(&catalog, &one, Day(FIRST_DAY), &blocks);
    block_on(catalog.regroup(&one)).unwrap();
    let (page, _) = bench.all(&one);
    let lost = page.groups.iter().map(|group| group.id).collect();
    let day = ObjectKey::Page(page.pages[0].id);
    let whole = bench.get(&day).unwrap();
    bench.put(&day, vec![0; 50].into());
    let done = block_on(bench.catalog().regroup_without(&one, &lost)).unwrap();
    assert_eq!(done, crate::groups::Regrouped::default());
    bench.put(&day, whole);
    assert_eq!(bench.check_exact(&one, ever(GroupKind::Terms, &[vec![key(1)]])).holding.len(), 8);
}

#[test]
fn should_name_blocks_whose_filters_are_damaged_and_exclude_them_never() {
    let mut bench = Bench::new();
    let catalog = bench.catalog();
    let one = tenant("one");
    let blocks = [(&[1][..], 4); 8];
    bench.add_day(&catalog, &one, Day(FIRST_DAY), &blocks);
    let (_, all) = bench.all(&one);
    let damaged = all[3].1.id();
    let origins = ObjectKey::Origins(damaged);
    let mut content = bench.get(&origins).unwrap().to_vec();
    content[40] ^= 1;
    bench.put(&origins, content.into());
    let done = block_on(catalog.regroup(&one)).unwrap();
    assert_eq!((done.blocks, done.damaged_blocks), (8, vec![damaged]));
    let catalog = bench.catalog();
    let snapshot = block_on(catalog.snapshot(&crate::snapshot::Cover::default())).unwrap();
    let nowhere = [vec![key(77)]];
    let wanted = ever(GroupKind::TraceIds, &nowhere);
    let found = block_on(catalog.blocks_that_may_hold(&snapshot, &one, wanted)).unwrap();
    assert_eq!(found.holding.iter().map(|block| block.id()).collect::<Vec<_>>(), [damaged]);
}

#[test]
fn should_never_mix_tenants() {
    let mut bench = Bench::new();
    let catalog = bench.catalog();
    let (one, other) = (tenant("one"), tenant("other"));
    let blocks = [(&[5][..], 4); 8];
    for tenant in [&one, &other] {
        bench.add_day(&catalog, tenant, Day(FIRST_DAY), &blocks);
        block_on(catalog.regroup(tenant)).unwrap();
    }
    for tenant in [&one, &other] {
        bench.check_groups(tenant);
        let (page, blocks) = bench.all(tenant);
        for group in &page.groups {
            let index = block_on(catalog.indexes.of(&catalog.bucket, group)).unwrap();
            assert!(index.members().all(|(id, _)| blocks.iter().any(|(_, block)| block.id() == id)));
        }
        assert_eq!(bench.check(tenant, ever(GroupKind::Terms, &[vec![key(5)]])).holding.len(), 8);
    }
    // An index of another's group is no index.
    let (page, _) = bench.all(&one);
    let (others, _) = bench.all(&other);
    let stolen = bench.get(&ObjectKey::Page(others.groups[0].index)).unwrap();
    bench.put(&ObjectKey::Page(page.groups[0].index), stolen);
    let found = bench.check(&one, ever(page.groups[0].kind, &[vec![key(5)]]));
    assert_eq!((found.unread.len(), found.unasked.len()), (1, 8));
}
