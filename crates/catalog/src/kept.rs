//! How long traces are kept: the rules of a tenant as it wrote them, and what was decided about a block by them.
//!
//! The catalog does not read the rules. It keeps their text, numbers it, and makes sure that nothing is given up on
//! grounds that do not hold any more.

use prost::Message;
use siltstone_format::day::Day;

use crate::block_page::Section;
use crate::message::{KnownTags, Open};
use crate::tenant_page::PageRef;

/// Rules of retention that a tenant has, in place of those in the settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// As `crates/ask` reads them.
    pub rules: String,
    /// Ascends from one set of rules to the next. What was decided without any has number 0.
    pub number: u64,
    /// When they were set, by the clock of who did: for people.
    pub since_unix_millis: u64,
    /// What was decided by rules with a lower number is decided anew.
    pub reapplied: u64,
    stored: Open<PolicyMessage>,
}

/// Until when something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Until {
    /// To the beginning of this hour, counted from 1970.
    Hour(u32),
    Never,
}

/// What was decided about all traces of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kept {
    pub until: Until,
    /// By the rules with this number,
    pub policy: u64,
    /// and by the archive marks up to this one.
    pub marks: u64,
}

/// What a page of blocks says of decisions, in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptOfPage {
    /// How many of its blocks were decided about.
    pub decided: u64,
    /// The first of them to go. None: none ever goes.
    pub first_until: Option<u32>,
    /// The oldest rules that one of them was decided by.
    pub oldest_policy: u64,
}

impl Until {
    const NEVER: u32 = u32::MAX;

    /// So many hours after the end of a day.
    pub fn hours_after(day: Day, hours: u32) -> Self {
        Self::Hour(end_of(day).saturating_add(hours))
    }

    /// How many hours after the end of a day that is. None: it never comes.
    pub fn in_hours_after(self, day: Day) -> Option<u32> {
        match self {
            Self::Hour(hour) => Some(hour.saturating_sub(end_of(day))),
            Self::Never => None,
        }
    }

    pub fn has_passed(self, hour: u32) -> bool {
        self <= Self::Hour(hour)
    }

    fn to_number(self) -> u32 {
        match self {
            // Hour 0 has passed as long ago as hour 1.
            Self::Hour(hour) => hour.clamp(1, Self::NEVER - 1),
            Self::Never => Self::NEVER,
        }
    }

    fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => None,
            Self::NEVER => Some(Self::Never),
            hour => Some(Self::Hour(hour)),
        }
    }
}

/// The hour with which a day is over.
fn end_of(day: Day) -> u32 {
    day.0.saturating_add(1).saturating_mul(24)
}

impl Kept {
    /// What holds of all of some blocks that are kept equally long: they may not know more than the least of them.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            until: self.until.max(other.until),
            policy: self.policy.min(other.policy),
            marks: self.marks.min(other.marks),
        }
    }

    /// As a message has it: all are 0 where nothing was decided.
    pub(crate) fn to_numbers(kept: Option<Self>) -> (u32, u64, u64) {
        kept.map_or((0, 0, 0), |kept| (kept.until.to_number(), kept.policy, kept.marks))
    }

    pub(crate) fn from_numbers((until, policy, marks): (u32, u64, u64)) -> Option<Self> {
        Until::from_number(until).map(|until| Self { until, policy, marks })
    }
}

impl KeptOfPage {
    pub(crate) fn of(blocks: impl Iterator<Item = Option<Kept>>) -> Self {
        let mut all = Self::default();
        for kept in blocks.flatten() {
            all.oldest_policy =
                if all.decided == 0 { kept.policy } else { all.oldest_policy.min(kept.policy) };
            all.decided += 1;
            if let Until::Hour(hour) = kept.until {
                all.first_until = Some(all.first_until.map_or(hour, |first| first.min(hour)));
            }
        }
        all
    }
}

impl PageRef {
    /// Whether one of its blocks goes in this hour, or has to.
    pub fn expires_by(&self, hour: u32) -> bool {
        self.kept.first_until.is_some_and(|first| first <= hour)
    }

    /// Whether nothing holds of one of its blocks that was decided since.
    pub fn is_undecided(&self, reapplied: u64) -> bool {
        self.section != Section::Inbox
            && (self.kept.decided < self.blocks || self.kept.oldest_policy < reapplied)
    }
}

impl Policy {
    pub(crate) fn new(rules: String, number: u64, since_unix_millis: u64, reapplied: u64) -> Self {
        Self { rules, number, since_unix_millis, reapplied, stored: Open::default() }
    }

    pub(crate) fn to_message(&self) -> Open<PolicyMessage> {
        self.stored.with(PolicyMessage {
            rules: self.rules.clone(),
            number: self.number,
            since: self.since_unix_millis,
            reapplied: self.reapplied,
        })
    }

    pub(crate) fn from_message(stored: Open<PolicyMessage>) -> Self {
        let message = &stored.known;
        Self {
            rules: message.rules.clone(),
            number: message.number,
            since_unix_millis: message.since,
            reapplied: message.reapplied,
            stored: stored.rest(),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PolicyMessage {
    #[prost(string, tag = "1")]
    rules: String,
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(uint64, tag = "3")]
    since: u64,
    #[prost(uint64, tag = "4")]
    reapplied: u64,
}

impl KnownTags for PolicyMessage {
    const KNOWN: &'static [u32] = &[1, 2, 3, 4];
}
