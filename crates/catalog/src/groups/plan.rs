//! Which groups to build, merge and drop: a pure function of what is there.
//!
//! Groups grow like the runs of an LSM tree. Only filters whose size classes can be
//! spread over each other stand in one group, so groups fall into buckets; in each, the
//! smaller ones are merged as soon as together they are a fair part of the next larger
//! one. Each group costs every lookup a request, so beyond a few of them small ones are
//! merged earlier, as long as that is cheap. No group is larger than what a machine merges
//! in minutes. `plan/tests.rs` simulates what all that comes to.

use std::collections::BTreeMap;

use siltstone_format::filter::size::SizeClass;
use siltstone_format::filter::transposed::{GroupHeader, GroupKind, MAX_GROUP_BLOCKS};
use siltstone_format::id::{BlockId, ObjectId};

/// What a plan may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// With fewer blocks of days that are in no group, nothing is built of them.
    pub(crate) loose_of_days: usize,
    /// The same of blocks of the inbox. Most of them are merged before that.
    pub(crate) loose_of_inbox: usize,
    /// Most bytes of filters that are transposed in memory, for one plan.
    pub(crate) build_bytes: u64,
    /// Groups of days, and of the inbox, of one kind: with more, small ones are merged before
    /// their time.
    pub(crate) groups_of_days: usize,
    pub(crate) groups_of_inbox: usize,
    /// That is done with groups of so many bytes, or not much larger than their partner.
    pub(crate) cheap_bytes: u64,
    pub(crate) cheap_growth: u64,
    /// A group takes part in a merge if it is at most so many times what is merged into it.
    pub(crate) growth: u64,
    pub(crate) group_blocks: u64,
    pub(crate) group_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            loose_of_days: 8,
            loose_of_inbox: 16,
            build_bytes: 64 << 20,
            groups_of_days: 8,
            groups_of_inbox: 4,
            cheap_bytes: 32 << 20,
            cheap_growth: 8,
            growth: 4,
            group_blocks: MAX_GROUP_BLOCKS as u64,
            group_bytes: 4 << 30,
        }
    }
}

/// A group, as far as plans go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: ObjectId,
    pub(crate) kind: GroupKind,
    pub(crate) of_inbox: bool,
    pub(crate) class: SizeClass,
    pub(crate) members: u64,
    /// Members that still exist. None: which blocks it has cannot be read.
    pub(crate) live: Option<u64>,
}

/// A block that is in no group of a kind: the class of its filter of that kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loose {
    pub(crate) id: BlockId,
    pub(crate) in_inbox: bool,
    pub(crate) traces: Option<SizeClass>,
    pub(crate) terms: Option<SizeClass>,
}

/// One new group, and what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) kind: GroupKind,
    /// They are given up; members that no longer exist are left out.
    pub(crate) groups: Vec<ObjectId>,
    pub(crate) blocks: Vec<BlockId>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    /// Groups that are given up for nothing: no member exists, or all are in new groups.
    pub(crate) dropped: Vec<ObjectId>,
    /// Blocks were left out, to bound memory: plan again.
    pub(crate) more: bool,
}

impl Plan {
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.dropped.is_empty()
    }
}

/// What to do with a tenant's groups.
pub(crate) fn plan(groups: &[Known], loose: &[Loose], limits: &Limits) -> Plan {
    let is_broken = groups.iter().any(|group| group.live.is_none());
    let wanted = if is_broken { loose.to_vec() } else { enough(loose, limits) };
    let taken = within_memory(&wanted, limits);
    let mut plan = Plan { more: taken.len() < wanted.len(), ..Plan::default() };
    for kind in [GroupKind::TraceIds, GroupKind::Terms] {
        let mut shelves = shelves(kind, groups, taken);
        shelves.values_mut().for_each(|shelf| merge_by_size(shelf, limits));
        [false, true].into_iter().for_each(|of_inbox| merge_down(&mut shelves, of_inbox, limits));
        plan.steps.extend(shelves.into_values().flatten().filter_map(|cluster| cluster.into_step(kind)));
    }
    let is_over = |group: &&Known| match group.live {
        Some(live) => live == 0,
        // Its blocks are found by it alone until all of them are in others.
        None => !plan.more,
    };
    plan.dropped = groups.iter().filter(is_over).map(|group| group.id).collect();
    plan
}

/// Those of the inbox, of days, or both, of which there are enough.
fn enough(loose: &[Loose], limits: &Limits) -> Vec<Loose> {
    let in_inbox = loose.iter().filter(|block| block.in_inbox).count();
    let inbox = in_inbox >= limits.loose_of_inbox;
    let days = loose.len() - in_inbox >= limits.loose_of_days;
    loose.iter().filter(|block| if block.in_inbox { inbox } else { days }).cloned().collect()
}

/// What may stand in one group: filters that can be spread over each other, none to more
/// than eight times its size, and only blocks that live about as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bucket {
    of_inbox: bool,
    quarter: u8,
    octaves: u8,
}

impl Bucket {
    fn of(of_inbox: bool, class: SizeClass) -> Self {
        Self { of_inbox, quarter: class.number() % 4, octaves: class.number() / 16 }
    }
}

type Shelves = BTreeMap<Bucket, Vec<Cluster>>;

/// A group that is there or may come to be.
#[derive(Clone, Debug, Default)]
struct Cluster {
    class: Option<SizeClass>,
    live: u64,
    members: u64,
    groups: Vec<ObjectId>,
    blocks: Vec<BlockId>,
}

impl Cluster {
    fn of_group(group: &Known) -> Option<Self> {
        let live = group.live.filter(|live| *live > 0)?;
        let (class, members) = (Some(group.class), group.members);
        Some(Self { class, live, members, groups: vec![group.id], blocks: Vec::new() })
    }

    fn add_block(&mut self, id: BlockId, class: SizeClass) {
        self.class = self.class.max(Some(class));
        self.live += 1;
        self.members += 1;
        self.blocks.push(id);
    }

    fn merged(mut self, other: Self) -> Self {
        self.class = self.class.max(other.class);
        self.live += other.live;
        self.members += other.members;
        self.groups.extend(other.groups);
        self.blocks.extend(other.blocks);
        self
    }

    fn bytes(&self) -> u64 {
        self.class.map_or(0, |class| GroupHeader::object_len_of(class, self.live as usize))
    }

    fn fits(&self, other: &Self, limits: &Limits) -> bool {
        let both =
            Self { class: self.class.max(other.class), live: self.live + other.live, ..Self::default() };
        both.live <= limits.group_blocks && both.bytes() <= limits.group_bytes
    }

    /// Three quarters of what a group may be: it is left alone from then on.
    fn is_full(&self, limits: &Limits) -> bool {
        self.live >= limits.group_blocks / 4 * 3 || self.bytes() >= limits.group_bytes / 4 * 3
    }

    /// Something to do: it is new, or most of its members are gone.
    fn into_step(self, kind: GroupKind) -> Option<Step> {
        let is_new = !self.blocks.is_empty() || self.groups.len() > 1;
        let is_mostly_dead = self.live * 2 < self.members;
        (is_new || is_mostly_dead).then_some(Step { kind, groups: self.groups, blocks: self.blocks })
    }
}

/// As many of the blocks as may be transposed at once; one at least.
fn within_memory<'a>(loose: &'a [Loose], limits: &Limits) -> &'a [Loose] {
    let mut buckets: BTreeMap<(bool, Bucket), Cluster> = BTreeMap::new();
    for (count, block) in loose.iter().enumerate() {
        for (is_terms, class) in [(false, block.traces), (true, block.terms)] {
            if let Some(class) = class {
                buckets
                    .entry((is_terms, Bucket::of(block.in_inbox, class)))
                    .or_default()
                    .add_block(block.id, class);
            }
        }
        let too_many = |cluster: &Cluster| cluster.live > limits.group_blocks;
        let bytes: u64 = buckets.values().map(Cluster::bytes).sum();
        if count > 0 && (bytes > limits.build_bytes || buckets.values().any(too_many)) {
            return &loose[..count];
        }
    }
    loose
}

/// All groups with members and all blocks, the latter as one new group of each bucket.
fn shelves(kind: GroupKind, groups: &[Known], loose: &[Loose]) -> Shelves {
    let mut new: BTreeMap<Bucket, Cluster> = BTreeMap::new();
    for block in loose {
        let class = if kind == GroupKind::TraceIds { block.traces } else { block.terms };
        if let Some(class) = class {
            new.entry(Bucket::of(block.in_inbox, class)).or_default().add_block(block.id, class);
        }
    }
    let mut shelves: Shelves = new.into_iter().map(|(bucket, cluster)| (bucket, vec![cluster])).collect();
    for group in groups.iter().filter(|group| group.kind == kind) {
        shelves.entry(Bucket::of(group.of_inbox, group.class)).or_default().extend(Cluster::of_group(group));
    }
    shelves
}

/// Merges the smallest ones with each that is not much larger than all before it. Left
/// over, each is more than `growth` times all smaller ones together.
fn merge_by_size(shelf: &mut Vec<Cluster>, limits: &Limits) {
    let (full, mut open): (Vec<_>, Vec<_>) =
        std::mem::take(shelf).into_iter().partition(|cluster| cluster.is_full(limits));
    open.sort_by_key(Cluster::bytes);
    let mut before = 0;
    let mut last = 0;
    for (place, cluster) in open.iter().enumerate() {
        if place > 0 && cluster.bytes() <= before * limits.growth {
            last = place;
        }
        before += cluster.bytes();
    }
    let larger = open.split_off((last + 1).min(open.len()));
    for cluster in open {
        match shelf.pop_if(|merged| merged.fits(&cluster, limits)) {
            Some(merged) => shelf.push(merged.merged(cluster)),
            None => shelf.push(cluster),
        }
    }
    shelf.extend(larger);
    shelf.extend(full);
}

/// Merges the cheapest pairs until few groups are left, as long as that is cheap.
fn merge_down(shelves: &mut Shelves, of_inbox: bool, limits: &Limits) {
    loop {
        let of_age = || shelves.iter().filter(|(bucket, _)| bucket.of_inbox == of_inbox);
        let groups: usize = of_age().map(|(_, shelf)| shelf.len()).sum();
        let few = if of_inbox { limits.groups_of_inbox } else { limits.groups_of_days };
        if groups <= few {
            return;
        }
        let pairs = of_age().filter_map(|(bucket, shelf)| {
            let mut order: Vec<usize> = (0..shelf.len()).collect();
            order.sort_by_key(|at| shelf[*at].bytes());
            let [one, other, ..] = *order.as_slice() else { return None };
            let (small, large) = (shelf[one].bytes(), shelf[other].bytes());
            let is_cheap = large <= limits.cheap_bytes.max(small.saturating_mul(limits.cheap_growth));
            let fits = is_cheap && shelf[one].fits(&shelf[other], limits);
            fits.then_some((small + large, *bucket, one.min(other), one.max(other)))
        });
        let Some((_, bucket, one, other)) = pairs.min() else { return };
        let Some(shelf) = shelves.get_mut(&bucket) else { return };
        let other = shelf.swap_remove(other);
        let one = shelf.swap_remove(one);
        shelf.push(one.merged(other));
    }
}

#[cfg(test)]
mod tests;
