//! The rules of a tenant: its own, or those of the settings.

use std::fmt;
use std::time::Duration;

use siltstone_ask::{Filter, Keep, Of, ParseError, Retention};
use siltstone_catalog::Catalog;
use siltstone_catalog::kept::{Kept, Until};
use siltstone_catalog::snapshot::{Snapshot, SnapshotError};
use siltstone_format::day::Day;
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;

/// How long something is kept, from the end of its day on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hours(u32);

impl Hours {
    pub(super) const FOREVER: Self = Self(u32::MAX);

    pub fn of(keep: Keep) -> Self {
        match keep {
            Keep::For(duration) => u32::try_from(duration.as_secs() / 3_600).map_or(Self::FOREVER, Self),
            Keep::Forever => Self::FOREVER,
        }
    }

    /// For what lies in a day.
    pub fn until(self, day: Day) -> Until {
        match self {
            Self::FOREVER => Until::Never,
            Self(hours) => Until::hours_after(day, hours),
        }
    }

    /// What was decided about something in a day.
    pub(crate) fn from_end_of(day: Day, until: Until) -> Self {
        until.in_hours_after(day).map_or(Self::FOREVER, Self)
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FOREVER => Keep::Forever.fmt(f),
            Self(hours) => Keep::For(Duration::from_secs(u64::from(hours) * 3_600)).fmt(f),
        }
    }
}

/// Rules of one tenant, as of one root.
#[derive(Clone, Debug)]
pub struct Rules {
    pub retention: Retention,
    /// Of its own rules; 0: it has never had any.
    pub number: u64,
    /// What was decided by rules with a lower number is decided anew.
    pub reapplied: u64,
}

/// Why it is not known how long a tenant's traces are kept. Nothing of it goes.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("its rules of retention cannot be read; set them anew with `siltstone retention set`: {0}")]
    Unreadable(#[from] ParseError),
}

impl Rules {
    /// The tenant's own, else the usual ones. None: all is kept for ever.
    pub async fn of(
        catalog: &Catalog,
        snapshot: &Snapshot,
        tenant: &Tenant,
        usual: Option<&Retention>,
    ) -> Result<Option<Self>, RulesError> {
        if let Some((number, damage)) = &snapshot.damaged_root {
            let key = ObjectKey::Root { number: *number };
            return Err(SnapshotError::Damaged { key, damage: damage.clone() }.into());
        }
        let own = catalog.retention(snapshot, tenant).await?;
        let (number, reapplied) = own.as_ref().map_or((0, 0), |own| (own.number, own.reapplied));
        let retention = match own.filter(|own| !own.rules.is_empty()) {
            Some(own) => Some(own.rules.parse()?),
            None => usual.cloned(),
        };
        Ok(retention.map(|retention| Self { retention, number, reapplied }))
    }

    pub(crate) fn least(&self) -> Hours {
        Hours::of(self.retention.shortest())
    }

    pub(crate) fn of_archived(&self) -> Hours {
        Hours::of(self.retention.archived())
    }

    /// What keeps traces longer than the least, the longest first.
    pub(crate) fn longer(&self) -> Vec<(Hours, &Filter)> {
        let least = self.least();
        let mut longer: Vec<(Hours, &Filter)> = Vec::new();
        for rule in self.retention.rules() {
            let hours = Hours::of(rule.keep);
            if let (Of::Spans(filter), true) = (&rule.of, hours > least) {
                longer.push((hours, filter));
            }
        }
        longer.sort_by_key(|(hours, _)| std::cmp::Reverse(*hours));
        longer
    }

    /// What was decided about a block, if that still holds.
    pub(crate) fn decided(&self, kept: Option<Kept>) -> Option<Kept> {
        decided(kept, self.reapplied)
    }
}

/// What was decided, if that still holds: what rules with a lower number decided is decided anew.
pub(crate) fn decided(kept: Option<Kept>, reapplied: u64) -> Option<Kept> {
    kept.filter(|kept| kept.policy >= reapplied)
}
