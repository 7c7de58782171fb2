use std::collections::BTreeSet;

use futures::executor::block_on;
use futures::future::join;
use siltstone_format::day::Day;
use siltstone_format::filter::transposed::GroupKind;
use siltstone_format::id::BlockId;
use siltstone_format::path::ObjectKey;

use super::bench::{Bench, ever, key, tenant};
use crate::block_page::Section;
use crate::change::Merge;
use crate::groups::plan::Limits;
use crate::groups::{GroupsError, Regrouped};
use crate::publish::PublishError;

const DAY: Day = Day(20_000);

fn filled() -> (Bench, crate::Catalog) {
    let mut bench = Bench::new();
    let catalog = bench.catalog();
    let blocks = [(&[1, 2][..], 4); 12];
    bench.add_day(&catalog, &tenant("one"), DAY, &blocks);
    (bench, catalog)
}

fn is_refused(result: &Result<Regrouped, GroupsError>) -> bool {
    matches!(result, Err(GroupsError::Publish(PublishError::Refused(_))))
}

#[test]
fn should_let_one_of_two_builders_win() {
    let (mut bench, catalog) = filled();
    let (one, other) = (tenant("one"), bench.catalog());
    let both = block_on(join(catalog.regroup(&one), other.regroup(&one)));
    assert!(is_refused(&both.0) != is_refused(&both.1), "{both:?}");
    bench.check_groups(&one);
    assert_eq!(bench.check(&one, ever(GroupKind::Terms, &[vec![key(1)]])).holding.len(), 12);

    // Now they merge the same group.
    let blocks = [(&[3][..], 4); 8];
    bench.add_day(&catalog, &one, DAY, &blocks);
    let both = block_on(join(catalog.regroup(&one), other.regroup(&one)));
    assert!(is_refused(&both.0) != is_refused(&both.1), "{both:?}");
    bench.check_groups(&one);
    assert_eq!(bench.all(&one).0.groups.len(), 2);
}

#[test]
fn should_put_up_with_blocks_that_are_merged_meanwhile() {
    let (mut bench, catalog) = filled();
    let (one, other) = (tenant("one"), bench.catalog());
    let inputs: Vec<BlockId> = bench.all(&one).1.iter().take(5).map(|(_, block)| block.id()).collect();
    let output = bench.block(&catalog, &one, DAY, &[1, 2], 8);
    let merge = Merge {
        tenant: one.clone(),
        inputs: vec![(Section::Day(DAY), inputs)],
        outputs: vec![(DAY, output)],
    };
    let (regrouped, merged) = block_on(join(catalog.regroup(&one), other.publish(&merge)));
    merged.unwrap();
    assert_eq!(regrouped.unwrap().built.len(), 2);
    bench.check_groups(&one);
    let found = bench.check(&one, ever(GroupKind::TraceIds, &[vec![key(1)]]));
    assert_eq!((found.holding.len(), found.unasked.len()), (7, 1));
}

#[test]
fn should_give_up_what_nobody_needs_and_say_so_to_the_sweeper() {
    let (mut bench, catalog) = filled();
    let one = tenant("one");
    block_on(catalog.regroup(&one)).unwrap();
    let (page, blocks) = bench.all(&one);
    let gone = blocks.iter().map(|(_, block)| block.id()).collect();
    bench.retire(&catalog, &one, Section::Day(DAY), gone);
    let done = block_on(catalog.regroup(&one)).unwrap();
    assert_eq!((done.built.len(), done.given_up.len()), (0, 2));
    let root = block_on(catalog.load()).unwrap().root;
    for group in &page.groups {
        assert!(root.retired.iter().any(|retired| retired.groups.contains(&group.id)));
        assert!(root.retired.iter().any(|retired| retired.pages.contains(&group.index)));
    }
    assert!(bench.all(&one).0.groups.is_empty());
    // And nothing is done where there is nothing to do.
    assert_eq!(block_on(catalog.regroup(&one)).unwrap(), Regrouped::default());
    assert_eq!(block_on(catalog.load()).unwrap().root.number, root.number);
}

#[test]
fn should_not_put_a_block_into_groups_twice_where_two_replace_an_unreadable_one() {
    let (mut bench, catalog) = filled();
    let one = tenant("one");
    block_on(catalog.regroup(&one)).unwrap();
    for group in bench.all(&one).0.groups {
        bench.delete(&ObjectKey::Page(group.index));
    }
    // Neither can do all at once, so neither gives the unreadable group up.
    let limits = Limits { build_bytes: 1, ..Limits::default() };
    let (catalog, other) = (bench.catalog(), bench.catalog());
    let none = BTreeSet::new();
    let both = block_on(join(
        catalog.regroup_within(&one, &limits, &none),
        other.regroup_within(&one, &limits, &none),
    ));
    assert!(is_refused(&both.0) != is_refused(&both.1), "{both:?}");
    while block_on(catalog.regroup_within(&one, &limits, &none)).unwrap().more {}
    bench.check_groups(&one);
}
