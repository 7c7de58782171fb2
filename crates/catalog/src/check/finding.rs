//! What a check can find: each kind with what it means for answers and what to do.

use std::collections::BTreeMap;
use std::fmt;
use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use siltstone_format::id::BlockId;
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;

use super::Depth;
use crate::message::Damage;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong with any answer; somebody may want to know.
    Note,
    /// Space is used for nothing.
    Waste,
    /// Answers lack something, or have it twice. It can be mended.
    Partial,
    /// Spans are gone, or not to be had without help.
    Loss,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// There are blocks or log entries, and no root.
    NoRoot { blocks: u64 },
    /// A root cannot be read; the catalog is as another one says.
    RootUnreadable { damage: Damage, instead: Option<u64>, newest: bool },
    /// C3: two roots that follow each other do not fit.
    Chain { before: u64, what: String },
    /// A page of blocks or of a tenant cannot be read.
    PageUnreadable { tenant: Tenant, damage: Damage },
    /// A page that could not be read when it was to be changed; another stands in.
    StoodIn { tenant: Tenant },
    /// A page of marks cannot be read.
    MarksUnreadable { tenant: Tenant, damage: Damage },
    /// C1: the newest root, or the log, refers to it, and it is not there.
    Gone { tenant: Tenant },
    /// C2: a block is referred to in several places.
    Twice { tenant: Tenant, places: usize },
    /// C2: a block stands beside one that it was merged into.
    InputBeside { input: BlockId, same_set: bool },
    /// An object has another size than its entry says.
    Size { found: u64, said: u64 },
    /// A block's metadata is not what its entry says.
    Header { why: String },
    /// F1: a block is not what its entry says.
    Content { why: String },
    /// A sum in a root or a tenant's page is not what the pages say.
    Totals { what: &'static str, found: u64, said: u64 },
    /// What is said of a page lets sweeps and lookups pass over blocks that it has.
    Misleads { tenant: Tenant },
    /// A page's range of time leaves out one of its blocks.
    TimeRange { tenant: Tenant },
    /// A page has more blocks than a page may.
    LongPage { blocks: u64 },
    /// A block of days that were given up.
    BehindCut { tenant: Tenant },
    /// A log entry cannot be read.
    EntryUnreadable { damage: Damage },
    /// A log entry that waits for one before it that is not there.
    Stranded { expected: u64 },
    /// Objects that nothing refers to, of which a sweep will decide when they are older.
    Orphans { objects: u64, bytes: u64 },
    /// A block of which only one object is there; nothing refers to it.
    Incomplete { missing: ObjectKey },
    /// A block that a rebuild could not read: it is in no answer, and kept.
    LeftOut,
    /// An object that nothing refers to, and that no sweep looks at again.
    Leak { bytes: u64, deleted: bool },
    /// Strays cannot be told from what an unreadable page refers to.
    StraysUnknown,
    /// What was given up is kept for much longer than it must be.
    NotSwept { objects: u64 },
    /// It was given up, and is gone before its grace has passed.
    GoneTooSoon,
    /// A key that is none of ours.
    Foreign,
    /// An id and the store disagree about when an object was made.
    Clock { off: Duration, ahead: bool },
    /// A lease whose holder has not given it back.
    StaleLease { job: String },
    /// An object written to learn the store's time, and left behind.
    LeftProbe,
    /// A lease that cannot be read.
    LeaseUnreadable { damage: Damage },
}

/// Something that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub key: String,
    pub wrong: Wrong,
}

/// What a check found, the worst first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub depth: Depth,
    /// The root that was checked.
    pub root: Option<u64>,
    pub tenants: u64,
    pub blocks: u64,
    pub rows: u64,
    pub objects: u64,
    pub findings: Vec<Finding>,
    /// Findings of kinds that were found so often that the rest is only counted.
    pub more: u64,
}

/// Findings of one kind that are kept.
const MOST_OF_A_KIND: usize = 1_000;

impl Report {
    pub(super) fn of(depth: Depth) -> Self {
        Self { depth, root: None, tenants: 0, blocks: 0, rows: 0, objects: 0, findings: Vec::new(), more: 0 }
    }

    pub(super) fn add(&mut self, key: &impl fmt::Display, wrong: Wrong) {
        let kind = discriminant(&wrong);
        let of_kind = self.findings.iter().filter(|finding| discriminant(&finding.wrong) == kind);
        if of_kind.count() >= MOST_OF_A_KIND {
            self.more += 1;
            return;
        }
        self.findings.push(Finding { severity: wrong.severity(), key: key.to_string(), wrong });
    }

    pub(super) fn finish(&mut self) {
        self.findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.key.cmp(&b.key)));
    }

    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }

    /// The worst of what was found.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

impl Wrong {
    pub fn severity(&self) -> Severity {
        use Severity::{Loss, Note, Partial, Waste};
        match self {
            Self::RootUnreadable { newest: false, .. } => Note,
            Self::RootUnreadable { instead: Some(_), .. } => Partial,
            Self::InputBeside { same_set: false, .. } => Waste,
            Self::NoRoot { .. }
            | Self::RootUnreadable { .. }
            | Self::Chain { .. }
            | Self::MarksUnreadable { .. }
            | Self::Gone { .. }
            | Self::Size { .. }
            | Self::Header { .. }
            | Self::Content { .. }
            | Self::LeftOut
            | Self::Stranded { .. } => Loss,
            Self::PageUnreadable { .. }
            | Self::StoodIn { .. }
            | Self::Twice { .. }
            | Self::InputBeside { .. }
            | Self::Misleads { .. }
            | Self::TimeRange { .. }
            | Self::EntryUnreadable { .. } => Partial,
            Self::BehindCut { .. }
            | Self::Incomplete { .. }
            | Self::Leak { .. }
            | Self::StraysUnknown
            | Self::NotSwept { .. } => Waste,
            Self::Totals { .. }
            | Self::LongPage { .. }
            | Self::Orphans { .. }
            | Self::GoneTooSoon
            | Self::Foreign
            | Self::Clock { .. }
            | Self::StaleLease { .. }
            | Self::LeftProbe
            | Self::LeaseUnreadable { .. } => Note,
        }
    }

    /// What it means for answers.
    pub fn meaning(&self) -> &'static str {
        match self {
            Self::NoRoot { .. } => "nothing is found until there is a catalog again",
            Self::RootUnreadable { newest: false, .. } => "none for answers: a newer root counts",
            Self::RootUnreadable { instead: Some(_), .. } => {
                "answers come from an older root and lack what came since; nothing is folded, merged or deleted"
            }
            Self::RootUnreadable { .. } => "nothing is found, and nothing can be written but flushes",
            Self::Chain { .. } => "blocks may have left the catalog without anybody's wish, or come back",
            Self::PageUnreadable { .. } | Self::StoodIn { .. } => {
                "answers lack the blocks that it lists and say so; what was deleted is read from the records"
            }
            Self::MarksUnreadable { .. } => "the tenant's queries fail, because deleted traces might show",
            Self::Gone { .. } => "answers that need it fail; its spans are lost unless a backup has them",
            Self::Twice { .. } => "its spans may be counted twice",
            Self::InputBeside { same_set: true, .. } => "the same spans are counted twice",
            Self::InputBeside { .. } => "none for answers, same spans collapse; searches read both",
            Self::Size { .. } | Self::Header { .. } | Self::Content { .. } => {
                "answers that need the block fail; what cannot be read of it is lost unless a backup has it"
            }
            Self::Totals { .. } => "none for answers; planning and displays use a wrong number",
            Self::Misleads { .. } => "lookups by id may miss blocks, and a sweep may take them for orphans",
            Self::TimeRange { .. } => "searches by time do not find the spans that are left out",
            Self::LongPage { .. } => "none; commits rewrite more than they should",
            Self::BehindCut { .. } => "spans that should have expired are still found",
            Self::EntryUnreadable { .. } => {
                "answers lack this flush and say so; its writer's later ones are not folded"
            }
            Self::Stranded { .. } => "the flush was acknowledged and is not found",
            Self::LeftOut => "its spans are in no answer; no sweep deletes it",
            Self::Orphans { .. } => "none; they belong to work that was given up or is under way",
            Self::Incomplete { .. } | Self::Leak { .. } | Self::NotSwept { .. } => "none; they cost space",
            Self::StraysUnknown => "none; orphans are not deleted meanwhile",
            Self::GoneTooSoon => "queries that began before may fail once",
            Self::Foreign | Self::LeftProbe => "none",
            Self::Clock { .. } => "none yet; a clock off by hours has flushes refused, or orphans swept late",
            Self::StaleLease { .. } | Self::LeaseUnreadable { .. } => "none; the job waited for it once",
        }
    }

    /// What to do.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NoRoot { .. } => "if this is a copy, copy `cat/` and `man/` too; else `siltstone rebuild`",
            Self::RootUnreadable { newest: false, .. } => "nothing: it is swept soon",
            Self::RootUnreadable { .. } => {
                "restore the object from a version or backup; else `siltstone rebuild`"
            }
            Self::Chain { .. } => "keep a copy of both roots; is a program of another kind writing here?",
            Self::PageUnreadable { .. } | Self::StoodIn { .. } | Self::MarksUnreadable { .. } => {
                "restore the object, the next fold takes it back; else `siltstone rebuild --force`"
            }
            Self::Gone { .. } => "restore the object; find out who deletes here besides Siltstone",
            Self::Twice { .. } => "a merge of the day mends it",
            Self::InputBeside { .. } => "a merge of both mends it; expected after a rebuild",
            Self::Size { .. } | Self::Header { .. } | Self::Content { .. } => {
                "restore the object; find out what the store did to it"
            }
            Self::Misleads { .. } => {
                "stop all sweepers; `siltstone rebuild --force` computes it anew; report it"
            }
            Self::Totals { .. } | Self::TimeRange { .. } => {
                "`siltstone rebuild --force` computes it anew; report it"
            }
            Self::LongPage { .. } => "nothing: the next merge shortens it",
            Self::BehindCut { .. } => "nothing: the next expiry takes it; report it if it stays",
            Self::EntryUnreadable { .. } => {
                "restore the object; else `siltstone check --quarantine`, and a rebuild finds its blocks"
            }
            Self::Stranded { .. } => {
                "after a rebuild: `siltstone rebuild --adopt`; else keep the log, and report it"
            }
            Self::LeftOut => "restore it, and `siltstone rebuild --force`; or delete both its objects",
            Self::Orphans { .. } => "nothing: a sweep takes them when they are due",
            Self::Incomplete { .. } => "nothing while it is young; an old one goes with the leaks",
            Self::Leak { deleted: true, .. } => "nothing: it was deleted",
            Self::Leak { .. } => "`siltstone check --delete-leaks`",
            Self::StraysUnknown => "mend the page that is named above",
            Self::NotSwept { .. } => "is a compactor running that sweeps?",
            Self::GoneTooSoon => "is somebody else deleting, or a sweeper with shorter windows at work?",
            Self::Foreign => "move it out of the store's prefix",
            Self::LeftProbe => "delete it, or let it be",
            Self::Clock { .. } => {
                "set the clocks by NTP; a bucket that was copied has new times, and this is expected"
            }
            Self::StaleLease { .. } | Self::LeaseUnreadable { .. } => {
                "nothing: the next who asks takes it over"
            }
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Waste => "waste",
            Self::Partial => "PARTIAL",
            Self::Loss => "LOSS",
        })
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoot { blocks } => write!(f, "there is no root, and there are {blocks} blocks"),
            Self::RootUnreadable { damage, instead: Some(number), .. } => {
                write!(f, "the root cannot be read ({damage}); root {number} stands in")
            }
            Self::RootUnreadable { damage, .. } => write!(f, "the root cannot be read: {damage}"),
            Self::Chain { before, what } => write!(f, "C3: it does not follow from root {before}: {what}"),
            Self::PageUnreadable { tenant, damage } => {
                write!(f, "a page of tenant {tenant} cannot be read: {damage}")
            }
            Self::StoodIn { tenant } => {
                write!(f, "the page of tenant {tenant} could not be read, and another stands in for it")
            }
            Self::MarksUnreadable { tenant, damage } => {
                write!(f, "a page of marks of tenant {tenant} cannot be read: {damage}")
            }
            Self::Gone { tenant } => write!(f, "C1: it is referred to for tenant {tenant}, and is not there"),
            Self::Twice { tenant, places } => {
                write!(f, "C2: it is listed {places} times for tenant {tenant}")
            }
            Self::InputBeside { input, .. } => {
                write!(f, "C2: it was made of block {input}, and both are in the catalog")
            }
            Self::Size { found, said } => write!(f, "it has {found} bytes, and its entry says {said}"),
            Self::Header { why } | Self::Content { why } => f.write_str(why),
            Self::Misleads { tenant } => {
                write!(
                    f,
                    "tenant {tenant}'s page says that it has older blocks only, or none outside of groups"
                )
            }
            Self::Totals { what, found, said } => write!(f, "{what} is {found}, and it says {said}"),
            Self::TimeRange { tenant } => {
                write!(f, "its range of time, for tenant {tenant}, leaves out one of its blocks")
            }
            Self::LongPage { blocks } => write!(f, "it lists {blocks} blocks"),
            Self::BehindCut { tenant } => write!(f, "tenant {tenant} has given up its days"),
            Self::EntryUnreadable { damage } => write!(f, "the log entry cannot be read: {damage}"),
            Self::Stranded { expected } => {
                write!(f, "it waits for entry {expected} of its writer, which is not there")
            }
            Self::LeftOut => f.write_str("a rebuild could not read the block and left it out"),
            Self::Orphans { objects, bytes } => {
                write!(f, "{objects} objects ({bytes} bytes), from this one on, belong to nothing")
            }
            Self::Incomplete { missing } => {
                write!(f, "its block has no `{missing}`, and nothing refers to it")
            }
            Self::Leak { bytes, .. } => {
                write!(f, "{bytes} bytes to which nothing refers, below the swept floor")
            }
            Self::StraysUnknown => {
                f.write_str("a page cannot be read, so what belongs to nothing is not known")
            }
            Self::NotSwept { objects } => {
                write!(
                    f,
                    "{objects} objects, from this one on, were given up and stay a day longer than they must"
                )
            }
            Self::GoneTooSoon => {
                f.write_str("it was given up and is gone before the grace for readers ended")
            }
            Self::Foreign => f.write_str("the key is none of Siltstone's"),
            Self::Clock { off, ahead } => {
                let side = if *ahead { "ahead of" } else { "behind" };
                write!(f, "its maker's clock was {} s {side} the store", off.as_secs())
            }
            Self::LeftProbe => f.write_str("it was written to learn the store's time, and left behind"),
            Self::StaleLease { job } => write!(f, "the lease for `{job}` is stale"),
            Self::LeaseUnreadable { damage } => write!(f, "the lease cannot be read: {damage}"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, key, wrong } = self;
        writeln!(f, "{severity:<8}{key}")?;
        writeln!(f, "        {wrong}.")?;
        writeln!(f, "        For answers: {}.", wrong.meaning())?;
        write!(f, "        To do: {}.", wrong.advice())
    }
}

/// Findings of one kind that are shown one by one.
const MOST_SHOWN: u64 = 20;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.root {
            Some(root) => write!(f, "root {root}: ")?,
            None => write!(f, "no root: ")?,
        }
        let Self { tenants, blocks, rows, objects, .. } = self;
        write!(f, "{tenants} tenants, {blocks} blocks, {rows} spans; {objects} objects in the store; ")?;
        f.write_str(match self.depth {
            Depth::Catalog => "blocks were not looked into",
            Depth::Headers => "of blocks, the metadata was read",
            Depth::Blocks => "every block was read",
        })?;
        if self.is_clean() {
            return f.write_str("\nnothing is wrong");
        }
        let mut shown: BTreeMap<String, u64> = BTreeMap::new();
        for finding in &self.findings {
            let count = shown.entry(kind_name(discriminant(&finding.wrong))).or_default();
            *count += 1;
            if *count <= MOST_SHOWN {
                write!(f, "\n\n{finding}")?;
            }
        }
        let hidden: u64 = shown.values().map(|count| count.saturating_sub(MOST_SHOWN)).sum();
        match hidden + self.more {
            0 => Ok(()),
            hidden => write!(f, "\n\nand {hidden} more of these kinds"),
        }
    }
}

fn kind_name(kind: Discriminant<Wrong>) -> String {
    format!("{kind:?}")
}
