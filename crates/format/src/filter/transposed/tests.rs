use std::collections::BTreeSet;

use proptest::prelude::*;
use xxhash_rust::xxh64::xxh64;

use super::super::split_block::SplitBlockFilter;
use super::*;

type Filters = Vec<(BlockId, SplitBlockFilter)>;

fn class(number: u8) -> SizeClass {
    SizeClass::from_number(number).unwrap()
}

fn block(number: usize) -> BlockId {
    BlockId(Ulid(u128::from(xxh64(&number.to_le_bytes(), 1)) << 64 | number as u128))
}

fn key(number: u64) -> FilterKey {
    FilterKey::of_term(xxh64(&number.to_le_bytes(), 2))
}

fn filter(class: SizeClass, keys: impl IntoIterator<Item = u64>) -> SplitBlockFilter {
    let mut filter = SplitBlockFilter::new(class);
    keys.into_iter().for_each(|number| filter.insert(key(number)));
    filter
}

/// A group of so many blocks, half full.
fn group(first: usize, blocks: usize, size: u8) -> Vec<u8> {
    build(GroupKind::Terms, class(size), &filters(first, blocks, size)).unwrap()
}

fn filters(first: usize, blocks: usize, size: u8) -> Filters {
    let keys = class(size).buckets() as u64 * 16;
    let of = |number: usize| filter(class(size), (0..keys).map(|key| key * 1_000 + number as u64));
    (first..first + blocks).map(|number| (block(number), of(number))).collect()
}

/// Reads only what a probe may read.
fn probe(group: &[u8], key: FilterKey) -> Probe {
    let header = GroupHeader::parse(group).unwrap();
    let range = header.probe_range(key);
    header.probe(key, &group[range.start as usize..range.end as usize])
}

fn expected(filters: &Filters, key: FilterKey) -> BTreeSet<BlockId> {
    filters.iter().filter(|(_, filter)| filter.may_hold(key)).map(|(block, _)| *block).collect()
}

fn check_exact(group: &[u8], filters: &Filters) {
    let header = GroupHeader::parse(group).unwrap();
    assert_eq!(header.object_len(), group.len() as u64);
    let blocks: BTreeSet<_> = filters.iter().map(|(block, _)| *block).collect();
    assert_eq!(header.blocks().iter().copied().collect::<BTreeSet<_>>(), blocks);
    assert_eq!(header.blocks().len(), blocks.len());
    for key in (0..600).map(key) {
        let probe = probe(group, key);
        assert!(!probe.damaged && probe.blocks.len() <= blocks.len());
        assert_eq!(probe.blocks.into_iter().collect::<BTreeSet<_>>(), expected(filters, key));
    }
}

/// Blocks of classes that can be spread over each other, in parts that become groups.
fn parts() -> impl Strategy<Value = Vec<Filters>> {
    let block_of = (0u8..4, prop::collection::vec(0u64..400, 0..120));
    let parts = prop::collection::vec(prop::collection::vec(block_of, 1..6), 1..5);
    (0u8..6, parts).prop_map(|(base, parts)| {
        let mut numbers = 0..;
        let mut with_id = |(spread, keys): (u8, Vec<u64>)| {
            (block(numbers.next().unwrap()), filter(class(base + 4 * spread), keys))
        };
        parts.into_iter().map(|part| part.into_iter().map(&mut with_id).collect()).collect()
    })
}

/// Merges with only a few rows of each group in memory.
fn piecewise(groups: &[&[u8]], rows_at_once: usize, drop: impl Fn(&BlockId) -> bool) -> Vec<u8> {
    let headers = groups.iter().map(|group| GroupHeader::parse(group).unwrap()).collect();
    let merger = Merger::new(headers, drop).unwrap();
    let mut bytes = merger.header().to_bytes();
    let all = merger.header().class().buckets();
    for start in (0..all).step_by(rows_at_once) {
        let rows = start..(start + rows_at_once).min(all);
        let inputs = merger.inputs(rows.clone());
        let inputs: Vec<&[u8]> =
            inputs.map(|(input, range)| &groups[input][range.start as usize..range.end as usize]).collect();
        assert_eq!(merger.write_rows(rows, &inputs, &mut bytes), Ok(0));
    }
    bytes
}

#[test]
fn should_refuse_rows_of_another_length() {
    let (one, other) = (group(0, 2, 4), group(10, 3, 0));
    let headers = [&one, &other].map(|group| GroupHeader::parse(group).unwrap()).to_vec();
    let merger = Merger::new(headers, |_| false).unwrap();
    let ranges: Vec<_> =
        merger.inputs(2..4).map(|(_, range)| range.start as usize..range.end as usize).collect();
    let (one, other) = (&one[ranges[0].clone()], &other[ranges[1].clone()]);
    assert_eq!(merger.write_rows(2..4, &[one, other], &mut Vec::new()), Ok(0));
    for wrong in [vec![one], vec![one, &other[1..]], vec![&[], other]] {
        let refused = merger.write_rows(2..4, &wrong, &mut Vec::new());
        assert!(matches!(refused, Err(GroupError::Length { .. })), "{refused:?}");
    }
}

fn largest(filters: &Filters) -> SizeClass {
    filters.iter().map(|(_, filter)| filter.class()).max().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn should_answer_as_each_filter_after_build_add_and_merge(
        parts in parts(), extra in 0u8..2, order in any::<prop::sample::Index>(), dropped in 0usize..4,
    ) {
        let mut groups = Vec::new();
        for part in &parts {
            let size = class(largest(part).number() + 4 * extra);
            let built = build(GroupKind::TraceIds, size, part).unwrap();
            prop_assert_eq!(GroupHeader::parse(&built).unwrap().class(), size);
            check_exact(&built, part);
            groups.push(built);
        }
        let mut all: Filters = parts.concat();

        // One after the other, by their own classes.
        let (first, rest) = parts.split_first().unwrap();
        let mut grown = build(GroupKind::TraceIds, largest(first), first).unwrap();
        for part in rest {
            let added = add(&grown, part).unwrap();
            prop_assert_eq!(added.damaged_rows, 0);
            grown = added.bytes;
        }
        check_exact(&grown, &all);

        // All at once, in any order, and in two steps, without some blocks.
        let unwanted: Vec<_> = all.iter().map(|(block, _)| *block).skip(1).step_by(5 - dropped).collect();
        all.retain(|(block, _)| !unwanted.contains(block));
        let turned = order.index(groups.len());
        groups.rotate_left(turned);
        let slices: Vec<&[u8]> = groups.iter().map(Vec::as_slice).collect();
        let at_once = merge(&slices, |block| unwanted.contains(block)).unwrap();
        check_exact(&at_once.bytes, &all);
        prop_assert_eq!(&piecewise(&slices, order.index(7) + 1, |block| unwanted.contains(block)), &at_once.bytes);
        let (left, right) = slices.split_at(turned.max(1));
        let left = merge(left, |_| false).unwrap().bytes;
        let steps: Vec<&[u8]> = right.iter().copied().chain([left.as_slice()]).collect();
        check_exact(&merge(&steps, |block| unwanted.contains(block)).unwrap().bytes, &all);
    }

    #[test]
    fn should_give_back_any_header(kind in any::<bool>(), size in 0u8..100, ids in prop::collection::btree_set(any::<u128>(), 1..60)) {
        let kind = if kind { GroupKind::TraceIds } else { GroupKind::Terms };
        let blocks: Vec<_> = ids.into_iter().rev().map(|id| BlockId(Ulid(id))).collect();
        let header = GroupHeader::new(kind, class(size), blocks.clone()).unwrap();
        let mut bytes = header.hashed_bytes();
        bytes.extend(header.hash.to_le_bytes());
        prop_assert_eq!(&bytes, &header.to_bytes());
        prop_assert_eq!(bytes.len(), GroupHeader::header_len(blocks.len()));
        bytes.extend([1, 2, 3]);
        let parsed = GroupHeader::parse(&bytes).unwrap();
        prop_assert_eq!((parsed.kind(), parsed.class(), parsed.blocks()), (kind, class(size), &blocks[..]));
        prop_assert_eq!(parsed, header);
    }

    #[test]
    fn should_never_panic_on_any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..200), forge in 0u8..4, blocks in 0u16..6) {
        // Forged as far as a stranger can: to the right beginning, or to the right checksum.
        if forge > 0 && bytes.len() >= FIXED_BYTES {
            bytes[..8].copy_from_slice(b"SLTG\x01\0\0\0");
            bytes[8] %= 3;
            bytes[10..12].copy_from_slice(&blocks.to_le_bytes());
            let end = FIXED_BYTES + usize::from(blocks) * ID_BYTES;
            if forge > 1 && bytes.len() >= end + HASH_BYTES {
                let hash = xxh3_64(&bytes[..end]);
                bytes[end..end + HASH_BYTES].copy_from_slice(&hash.to_le_bytes());
            }
        }
        if let Ok(header) = GroupHeader::parse(&bytes) {
            let probe = header.probe(key(1), &bytes);
            prop_assert!(probe.damaged && probe.blocks == header.blocks());
            prop_assert!(header.probe_range(key(1)).end <= header.object_len());
        }
        let whole = group(0, 2, 0);
        let made = [merge(&[&bytes], |_| false), merge(&[&whole, &bytes], |_| false), add(&bytes, &filters(0, 1, 0))];
        prop_assert!(made.into_iter().all(|made| made.is_err()));
    }

    #[test]
    fn should_fail_open_where_a_row_is_damaged(at in any::<prop::sample::Index>(), bit in 0u32..8) {
        let filters = filters(0, 3, 4);
        let whole = group(0, 3, 4);
        let header = GroupHeader::parse(&whole).unwrap();
        let start = header.row_start(0) as usize;
        let at = start + at.index(whole.len() - start);
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << bit;
        let other = group(10, 2, 0);
        let merged = merge(&[&other, &bytes], |_| false).unwrap();
        prop_assert_eq!(merged.damaged_rows, 1);
        for key in (0..2_000).map(key) {
            let here = header.probe_range(key).contains(&(at as u64));
            let found = probe(&bytes, key);
            prop_assert_eq!(found.damaged, here);
            let found_merged = probe(&merged.bytes, key);
            prop_assert!(!found_merged.damaged);
            let own: Vec<_> = found_merged.blocks.into_iter().filter(|id| header.blocks().contains(id)).collect();
            prop_assert_eq!(&own, &found.blocks);
            let expected = expected(&filters, key);
            if here {
                prop_assert_eq!(&found.blocks, header.blocks());
            } else {
                prop_assert_eq!(found.blocks.into_iter().collect::<BTreeSet<_>>(), expected);
            }
        }
    }
}

#[test]
fn should_lay_out_a_group_as_documented() {
    let filters = filters(0, 2, 1);
    let group = build(GroupKind::Terms, class(1), &filters).unwrap();
    let mut expected = b"SLTG\x01\0\0\0\x01\x01\x02\0".to_vec();
    filters.iter().for_each(|(block, _)| expected.extend(block.0.0.to_be_bytes()));
    let header_hash = xxh3_64(&expected);
    expected.extend(header_hash.to_le_bytes());
    for row in 0..5 {
        let buckets: Vec<u8> = filters.iter().flat_map(|(_, filter)| filter.buckets()[row]).collect();
        expected.extend(&buckets);
        expected.extend(xxh3_64_with_seed(&buckets, header_hash.wrapping_add(row as u64)).to_le_bytes());
    }
    assert_eq!(group, expected);
}

#[test]
fn should_refuse_a_header_that_is_cut_off_or_has_a_wrong_bit() {
    let group = group(0, 3, 0);
    let len = GroupHeader::header_len(3);
    assert!(GroupHeader::parse(&group[..len]).is_ok());
    for cut in 0..len {
        let error = GroupHeader::parse(&group[..cut]).unwrap_err();
        assert!(
            matches!(error, GroupError::CutOff { actual, needed } if actual == cut && needed > cut),
            "{error}"
        );
    }
    for bit in 0..len * 8 {
        let mut damaged = group.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(GroupHeader::parse(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn should_name_what_is_wrong_with_a_header() {
    let group = group(0, 1, 0);
    let error = |at: usize, byte: u8| {
        let mut wrong = group.clone();
        wrong[at] = byte;
        GroupHeader::parse(&wrong).unwrap_err()
    };
    assert_eq!(error(0, b'P'), GroupError::NotAGroup(*b"PLTG"));
    assert_eq!(error(4, 9), GroupError::Version(9));
    assert_eq!(error(8, 2), GroupError::Kind(2));
    assert_eq!(error(9, 100), GroupError::Class(100));
    assert_eq!(error(9, 1), GroupError::DamagedHeader);
    assert_eq!(error(27, 1), GroupError::DamagedHeader);
    assert!(error(4, 9).to_string().contains("version is 9"));
}

#[test]
fn should_read_bytes_of_another_place_as_damaged() {
    let (group, other) = (group(0, 4, 2), group(4, 4, 2));
    let header = GroupHeader::parse(&group).unwrap();
    let range = header.probe_range(key(7));
    let here = range.start as usize..range.end as usize;
    let another = if here.end < group.len() { here.end } else { here.start - here.len() };
    for wrong in
        [&group[another..another + here.len()], &other[here.clone()], &group[here.start..here.end - 1], &[]]
    {
        assert_eq!(header.probe(key(7), wrong), Probe { blocks: header.blocks().to_vec(), damaged: true });
    }
    assert!(!header.probe(key(7), &group[here]).damaged);
}

#[test]
fn should_refuse_groups_that_cannot_be() {
    let build_of = |size: u8, filters: &Filters| build(GroupKind::Terms, class(size), filters).unwrap_err();
    assert_eq!(build_of(0, &vec![]), GroupError::NoBlocks);
    let many: Filters = (0..8_193).map(|number| (block(number), SplitBlockFilter::new(class(0)))).collect();
    assert_eq!(build_of(0, &many), GroupError::TooManyBlocks(8_193));
    let twice = [filters(0, 2, 0), filters(1, 1, 0)].concat();
    assert_eq!(build_of(0, &twice), GroupError::DuplicateBlock(block(1)));
    assert_eq!(build_of(0, &filters(0, 1, 4)), GroupError::CannotSpread { from: 4, to: 0 });
    let mixed = [filters(0, 1, 4), filters(1, 1, 1)].concat();
    assert_eq!(build_of(4, &mixed), GroupError::CannotSpread { from: 1, to: 4 });

    let (full, small) = (build(GroupKind::Terms, class(0), &many[..8_192]).unwrap(), group(50_000, 2, 0));
    let merged = |groups: &[&[u8]]| merge(groups, |_| false).unwrap_err();
    assert_eq!(merged(&[]), GroupError::NoBlocks);
    assert_eq!(merged(&[&full, &small]), GroupError::TooManyBlocks(8_194));
    assert_eq!(merged(&[&small, &small]), GroupError::DuplicateBlock(block(50_000)));
    assert_eq!(merged(&[&small, &group(0, 1, 1)]), GroupError::CannotSpread { from: 0, to: 1 });
    let traces = build(GroupKind::TraceIds, class(0), &filters(0, 1, 0)).unwrap();
    assert_eq!(merged(&[&small, &traces]), GroupError::MixedKinds);
    let (actual, expected) = (small.len() as u64 - 1, small.len() as u64);
    assert_eq!(merged(&[&small[..small.len() - 1]]), GroupError::Length { actual, expected });
    assert_eq!(merge(&[&small], |_| true).unwrap_err(), GroupError::NoBlocks);
    assert_eq!(add(&full, &filters(50_000, 1, 0)).unwrap_err(), GroupError::TooManyBlocks(8_193));
    assert_eq!(add(&small, &filters(50_001, 1, 0)).unwrap_err(), GroupError::DuplicateBlock(block(50_001)));
}

#[test]
fn should_hold_as_many_blocks_as_allowed_and_take_more_where_others_go() {
    let full = filters(0, 8_192, 0);
    let group_of_full = build(GroupKind::Terms, class(0), &full).unwrap();
    assert_eq!(GroupHeader::parse(&group_of_full).unwrap().blocks().len(), MAX_GROUP_BLOCKS);
    let more = filters(20_000, 10, 0);
    let gone: BTreeSet<_> = full[100..110].iter().map(|(id, _)| *id).collect();
    let merged = merge(&[&group_of_full, &group(20_000, 10, 0)], |id| gone.contains(id)).unwrap();
    let kept: Filters = full.into_iter().filter(|(id, _)| !gone.contains(id)).chain(more).collect();
    let header = GroupHeader::parse(&merged.bytes).unwrap();
    assert!(header.blocks().iter().eq(kept.iter().map(|(id, _)| id)));
    for key in [1, 20_000, 100_017].map(key) {
        assert_eq!(
            probe(&merged.bytes, key).blocks.into_iter().collect::<BTreeSet<_>>(),
            expected(&kept, key)
        );
    }
}

#[test]
fn should_not_count_damage_in_groups_whose_blocks_all_go() {
    let (kept, mut gone) = (group(0, 2, 0), group(10, 1, 0));
    let last = gone.len() - 1;
    gone[last] ^= 1;
    let merged = merge(&[&kept, &gone], |id| *id == block(10)).unwrap();
    assert_eq!(merged, Merged { bytes: kept, damaged_rows: 0 });
}
