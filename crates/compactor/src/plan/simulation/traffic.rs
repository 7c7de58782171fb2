//! What ingesters flush.

use super::executor::{Late, Rows};

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// A day begins then.
const EPOCH: u64 = 20_000 * DAY;
const ROWS_OF_FULL_FLUSH: u64 = 200_000;
/// Late spans are evenly so late.
const MINUTES_LATE: u64 = 10 * MINUTE;
const DAYS_LATE: u64 = 3 * DAY;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    /// For six hours, over a midnight.
    NoCompactors,
    /// For two hours nothing can be flushed; blocks wait, named, and come at once.
    NoBucket,
    /// The spans of a week, half of them in their order, half in none.
    BackFill,
    /// Nobody compacts but a run at once each hour.
    OnceAnHour,
}

impl Trouble {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::NoCompactors => "no compactors for 6 h",
            Self::NoBucket => "no bucket for 2 h",
            Self::BackFill => "a week is filled in",
            Self::OnceAnHour => "`--once`, hourly",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Traffic {
    pub(super) rate: u64,
    pub(super) ingesters: u64,
    pub(super) days: f64,
    /// How often it is planned.
    pub(super) tick: u64,
    pub(super) trouble: Trouble,
}

/// A block that comes into the inbox.
pub(super) struct Flush {
    pub(super) named: u64,
    pub(super) arrives: u64,
    pub(super) rows: Vec<Rows>,
}

impl Traffic {
    /// What lasts less than a day goes over a midnight.
    pub(super) fn start(&self) -> u64 {
        if self.days < 1.0 { EPOCH - 3 * HOUR } else { EPOCH }
    }

    pub(super) fn end(&self) -> u64 {
        self.start() + (self.days * DAY as f64) as u64
    }

    pub(super) fn trouble_from(&self) -> u64 {
        self.end() - 4 * DAY - 3 * HOUR
    }

    pub(super) fn compactors_are_down(&self, now: u64) -> bool {
        let from = self.trouble_from();
        self.trouble == Trouble::NoCompactors && (from..from + 6 * HOUR).contains(&now)
    }

    pub(super) fn is_steady(&self, now: u64) -> bool {
        let from = self.trouble_from();
        let is_troubled = self.trouble != Trouble::None && (from..from + 8 * HOUR).contains(&now);
        now < self.end() && !is_troubled
    }

    /// By size, by age for large tenants, by age for small ones.
    fn flush_every(&self) -> u64 {
        let by_size = ROWS_OF_FULL_FLUSH * self.ingesters * SECOND / self.rate;
        by_size.min(if self.rate / self.ingesters < 420 { 600 * SECOND } else { 30 * SECOND })
    }

    /// In the order in which they come. There may be tens of millions, so they are made one at a time.
    pub(super) fn flushes(&self) -> impl Iterator<Item = Flush> {
        let (every, ingesters) = (self.flush_every(), self.ingesters);
        let begins = (0..).map(move |flush| self.start() + every * flush / ingesters);
        begins.take_while(|from| *from < self.end()).map(move |from| self.flush(from, from + every))
    }

    fn flush(&self, from: u64, to: u64) -> Flush {
        let rows = self.rate * (to - from) / SECOND / self.ingesters;
        let (by_minutes, by_days) = (rows / 100, rows.div_ceil(1_000));
        let rows = vec![
            Rows { from, to, count: rows - by_minutes - by_days, late: Late::No },
            Rows { from: from - MINUTES_LATE, to: from, count: by_minutes, late: Late::Minutes },
            Rows { from: from - DAYS_LATE, to: from - MINUTES_LATE, count: by_days, late: Late::Days },
        ];
        let named = to + SECOND;
        let back = self.trouble_from() + 2 * HOUR;
        let is_held_up = self.trouble == Trouble::NoBucket && (back - 2 * HOUR..back).contains(&named);
        Flush { named, arrives: if is_held_up { back } else { named }, rows }
    }

    /// What comes at once beside that.
    pub(super) fn back_fill(&self) -> impl Iterator<Item = Flush> {
        let (to, arrives) = (self.trouble_from() - DAY, self.trouble_from());
        let from = to - 7 * DAY;
        let blocks = match self.trouble {
            Trouble::BackFill => self.rate * 7 * (DAY / SECOND) / ROWS_OF_FULL_FLUSH,
            _ => 0,
        };
        let times = (0..blocks).map(move |block| match block % 2 {
            0 => (from + 7 * DAY / blocks * block, from + 7 * DAY / blocks * (block + 2)),
            _ => (from, to),
        });
        let rows = |(from, to)| vec![Rows { from, to, count: ROWS_OF_FULL_FLUSH, late: Late::No }];
        times.map(move |times| Flush { named: arrives, arrives, rows: rows(times) })
    }
}
