//! Filters: ours, the parquet crate's, and a plain Bloom filter as a yardstick.
//!
//! `cargo bench -p siltstone-tests --bench filters` prints what each takes and how
//! often it is wrong, then how fast each is, then the times of transposed groups.

#![expect(clippy::expect_used, reason = "a bench may end where a test would fail")]

use std::fmt;

use bloomfilter::Bloom;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use parquet::bloom_filter::Sbbf;
use siltstone_format::filter::size::{Rate, SizeClass};
use siltstone_format::filter::split_block::{FilterKey, SplitBlockFilter};
use siltstone_format::filter::transposed::{GroupHeader, GroupKind, build, merge};
use siltstone_format::id::{BlockId, TraceId};
use ulid::Ulid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u64 = 100_000;
/// Keys that are asked for and not there, to measure how often a filter is wrong.
const ABSENT: u64 = 4_000_000;
const WANTED: [Wanted; 2] =
    [Wanted { rate: Rate::OneInHundred, share: 0.01 }, Wanted { rate: Rate::OneInThousand, share: 0.001 }];

/// False positives that a filter shall have.
#[derive(Clone, Copy)]
struct Wanted {
    rate: Rate,
    share: f64,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.share * 100.0)
    }
}

/// The same few operations of all of them.
trait Filter {
    fn insert(&mut self, key: &TraceId);
    fn may_hold(&self, key: &TraceId) -> bool;
    fn bytes(&self) -> usize;
}

impl Filter for SplitBlockFilter {
    fn insert(&mut self, key: &TraceId) {
        self.insert(FilterKey::of_trace(key));
    }

    fn may_hold(&self, key: &TraceId) -> bool {
        self.may_hold(FilterKey::of_trace(key))
    }

    fn bytes(&self) -> usize {
        self.as_bytes().len()
    }
}

impl Filter for Sbbf {
    fn insert(&mut self, key: &TraceId) {
        self.insert(&key.0[..]);
    }

    fn may_hold(&self, key: &TraceId) -> bool {
        self.check(&key.0[..])
    }

    fn bytes(&self) -> usize {
        self.num_blocks() * 32
    }
}

impl Filter for Bloom<[u8; 16]> {
    fn insert(&mut self, key: &TraceId) {
        self.set(&key.0);
    }

    fn may_hold(&self, key: &TraceId) -> bool {
        self.check(&key.0)
    }

    fn bytes(&self) -> usize {
        self.len() as usize / 8
    }
}

fn ours(wanted: Wanted) -> SplitBlockFilter {
    SplitBlockFilter::new(SizeClass::for_keys(KEYS, wanted.rate))
}

/// Of the size that the crate itself chooses.
fn parquet_sized_by_itself(wanted: Wanted) -> Sbbf {
    Sbbf::new_with_ndv_fpp(KEYS, wanted.share).expect("a share between 0 and 1")
}

/// Of the size that the crate's formula gives, before it rounds up to a power of two.
fn parquet_sized_by_formula(wanted: Wanted) -> Sbbf {
    let bits = -8.0 * KEYS as f64 / (1.0 - wanted.share.powf(1.0 / 8.0)).ln();
    Sbbf::new(&vec![0; (bits / 256.0).ceil() as usize * 32])
}

/// Of our size.
fn parquet(wanted: Wanted) -> Sbbf {
    Sbbf::new(&vec![0; ours(wanted).bytes()])
}

fn plain(wanted: Wanted) -> Bloom<[u8; 16]> {
    // The halves of the seed key its two hashes: were they the same, it would be wrong far more often.
    let seed = std::array::from_fn(|place| place as u8);
    Bloom::new_for_fp_rate_with_seed(KEYS as usize, wanted.share, &seed).expect("a filter of this size")
}

/// The trace id of a number, without pattern.
fn trace(number: u64) -> TraceId {
    let mixed = |number: u64| {
        let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ number >> 31
    };
    TraceId((u128::from(mixed(number)) << 64 | u128::from(mixed(!number))).to_be_bytes())
}

fn traces(numbers: std::ops::Range<u64>) -> Vec<TraceId> {
    numbers.map(trace).collect()
}

fn filled<F: Filter>(mut filter: F, keys: &[TraceId]) -> F {
    keys.iter().for_each(|key| filter.insert(key));
    filter
}

fn main() {
    println!("{KEYS} keys, asked for {ABSENT} others");
    println!("{:<44} {:>8} {:>10} {:>10}", "filter", "wanted", "bits a key", "measured");
    for wanted in WANTED {
        print_row("SplitBlockFilter", wanted, ours(wanted));
        print_row("parquet Sbbf, our size", wanted, parquet(wanted));
        print_row("parquet Sbbf, its formula", wanted, parquet_sized_by_formula(wanted));
        print_row("parquet Sbbf, its formula, a power of two", wanted, parquet_sized_by_itself(wanted));
        print_row("bloomfilter", wanted, plain(wanted));
    }
    divan::main();
}

fn print_row(name: &str, wanted: Wanted, filter: impl Filter) {
    let filter = filled(filter, &traces(0..KEYS));
    let wrong = (KEYS..KEYS + ABSENT).filter(|number| filter.may_hold(&trace(*number))).count();
    let bits = filter.bytes() as f64 * 8.0 / KEYS as f64;
    let measured = wrong as f64 * 100.0 / ABSENT as f64;
    println!("{name:<44} {:>8} {bits:>10.2} {measured:>8.4} %", wanted.to_string());
}

mod insert {
    use super::*;

    fn bench<F: Filter>(bencher: Bencher<'_, '_>, empty: impl Fn() -> F + Sync) {
        let keys = traces(0..KEYS);
        bencher
            .counter(ItemsCount::new(KEYS))
            .with_inputs(empty)
            .bench_local_refs(|filter| keys.iter().for_each(|key| filter.insert(key)));
    }

    #[divan::bench(args = WANTED)]
    fn ours(bencher: Bencher<'_, '_>, wanted: Wanted) {
        bench(bencher, || super::ours(wanted));
    }

    #[divan::bench(args = WANTED)]
    fn parquet(bencher: Bencher<'_, '_>, wanted: Wanted) {
        bench(bencher, || super::parquet(wanted));
    }

    #[divan::bench(args = WANTED)]
    fn plain(bencher: Bencher<'_, '_>, wanted: Wanted) {
        bench(bencher, || super::plain(wanted));
    }
}

/// Keys that are there, and as many that are not, in turn.
mod check {
    use super::*;

    fn bench(bencher: Bencher<'_, '_>, empty: impl Filter) {
        let filter = filled(empty, &traces(0..KEYS));
        let keys: Vec<_> = (0..KEYS / 2).flat_map(|number| [number, KEYS + number]).map(trace).collect();
        bencher
            .counter(ItemsCount::new(KEYS))
            .bench_local(|| keys.iter().filter(|key| filter.may_hold(key)).count());
    }

    #[divan::bench(args = WANTED)]
    fn ours(bencher: Bencher<'_, '_>, wanted: Wanted) {
        bench(bencher, super::ours(wanted));
    }

    #[divan::bench(args = WANTED)]
    fn parquet(bencher: Bencher<'_, '_>, wanted: Wanted) {
        bench(bencher, super::parquet(wanted));
    }

    #[divan::bench(args = WANTED)]
    fn plain(bencher: Bencher<'_, '_>, wanted: Wanted) {
        bench(bencher, super::plain(wanted));
    }
}

/// 1,000 filters of trace ids.
mod transposed {
    use super::*;

    const BLOCKS: u64 = 1_000;
    const KEYS_OF_BLOCK: [u64; 2] = [10_000, 100_000];

    fn filters(blocks: std::ops::Range<u64>, keys: u64) -> Vec<(BlockId, SplitBlockFilter)> {
        let class = SizeClass::for_keys(keys, Rate::OneInThousand);
        let of = |block: u64| {
            let mut filter = SplitBlockFilter::new(class);
            let numbers = block * keys..(block + 1) * keys;
            numbers.for_each(|number| filter.insert(FilterKey::of_trace(&trace(number))));
            (BlockId(Ulid(u128::from(block))), filter)
        };
        blocks.map(of).collect()
    }

    fn group(blocks: std::ops::Range<u64>, keys: u64) -> Vec<u8> {
        let filters = filters(blocks, keys);
        build(GroupKind::TraceIds, filters[0].1.class(), &filters).expect("a group")
    }

    #[divan::bench(args = KEYS_OF_BLOCK, sample_count = 5, sample_size = 1)]
    fn build_1000(bencher: Bencher<'_, '_>, keys: u64) {
        let filters = filters(0..BLOCKS, keys);
        let class = filters[0].1.class();
        bencher
            .counter(BytesCount::new(BLOCKS * class.bytes() as u64))
            .bench_local(|| build(GroupKind::TraceIds, class, &filters).expect("a group"));
    }

    #[divan::bench(args = KEYS_OF_BLOCK, sample_count = 5, sample_size = 1)]
    fn merge_10_of_100(bencher: Bencher<'_, '_>, keys: u64) {
        let groups: Vec<_> = (0..10).map(|part| group(part * 100..(part + 1) * 100, keys)).collect();
        let slices: Vec<&[u8]> = groups.iter().map(Vec::as_slice).collect();
        bencher
            .counter(BytesCount::new(groups.iter().map(Vec::len).sum::<usize>()))
            .bench_local(|| merge(&slices, |_| false).expect("a group"));
    }

    /// Keys that no block holds, one after the other.
    #[divan::bench(args = KEYS_OF_BLOCK)]
    fn probe(bencher: Bencher<'_, '_>, keys: u64) {
        let group = group(0..BLOCKS, keys);
        let header = GroupHeader::parse(&group).expect("a header");
        let mut number = 1 << 40;
        bencher.bench_local(|| {
            number += 1;
            let key = FilterKey::of_trace(&trace(number));
            let range = header.probe_range(key);
            header.probe(key, &group[range.start as usize..range.end as usize]).blocks.len()
        });
    }

    #[divan::bench]
    fn parse_header_of_1000(bencher: Bencher<'_, '_>) {
        let group = group(0..BLOCKS, 1);
        bencher.bench_local(|| GroupHeader::parse(&group).expect("a header").object_len());
    }
}
