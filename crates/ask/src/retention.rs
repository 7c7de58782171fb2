//! How long traces are kept: by rules, of which the most generous one decides.
//!
//! ```text
//! keep 7d; keep 90d where status = error; keep 30d where service_name = "payment"; keep 400d where archived
//! ```
//!
//! A rule with a filter keeps every trace that has a span which the filter matches. So a trace's keep is a maximum
//! over its spans: who sees only some of them may think that it is kept shorter, never longer, and the longest of
//! what all parts of a trace say is what the whole says.

use std::time::Duration;

use siltstone_format::span::Span;

use crate::filter::{Filter, MAX_NODES, MAX_PATTERNS};

#[cfg(test)]
mod tests;
mod text;

/// Most rules.
pub const MAX_RULES: usize = 64;

const HOUR_SECONDS: u64 = 3_600;
const SHORTEST: Duration = Duration::from_secs(HOUR_SECONDS);
/// A hundred years.
const LONGEST: Duration = Duration::from_secs(36_500 * 24 * HOUR_SECONDS);

/// Rules that were checked together: there is one for all traces, and none says less than that.
#[derive(Clone, Debug, PartialEq)]
pub struct Retention {
    rules: Vec<Rule>,
}

/// What is kept, and how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub keep: Keep,
    pub of: Of,
}

/// Which traces a rule is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Of {
    All,
    /// Those that somebody archived.
    Archived,
    /// Those with a span that matches.
    Spans(Filter),
}

/// How long; from when on is for those who delete to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keep {
    /// In whole hours.
    For(Duration),
    Forever,
}

/// The rules do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetentionError {
    #[error("no rule is about all traces; add one without `where`, such as `keep 30d`")]
    NoneForAll,
    #[error("a second rule is about all traces; give it a `where`, or take one away")]
    SecondForAll,
    #[error("a second rule is about archived traces; take one away")]
    SecondForArchived,
    #[error("`{0}` is not in whole hours, from `1h` to `36500d`, nor `forever`")]
    Keep(Keep),
    #[error(
        "`{rule}` does nothing, as all traces are kept {all} and the longest rule decides; let the rule without \
         `where` say less, or take this one away"
    )]
    Idle { rule: String, all: Keep },
    #[error("there are more than {MAX_RULES} rules; join some with `or`")]
    TooManyRules,
    #[error("the rules have more than {MAX_NODES} predicates and values together")]
    TooManyNodes,
    #[error("the rules have more than {MAX_PATTERNS} regular expressions together; join some with `|`")]
    TooManyPatterns,
}

impl Retention {
    pub fn new(rules: Vec<Rule>) -> Result<Self, RetentionError> {
        check(&rules).map_err(|fault| fault.error)?;
        Ok(Self { rules })
    }

    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What every trace gets.
    pub fn shortest(&self) -> Keep {
        self.rules.iter().map(|rule| rule.keep).min().unwrap_or(Keep::Forever)
    }

    /// The most that a trace gets which is not archived.
    pub fn longest(&self) -> Keep {
        let of_others = self.rules.iter().filter(|rule| rule.of != Of::Archived).map(|rule| rule.keep);
        of_others.max().unwrap_or(Keep::Forever)
    }

    /// What every archived trace gets: if no rule names them, they stay.
    pub fn archived(&self) -> Keep {
        let of_archived = self.rules.iter().find(|rule| rule.of == Of::Archived).map(|rule| rule.keep);
        of_archived.unwrap_or(Keep::Forever)
    }

    /// What a trace with these spans gets.
    pub fn keep_of(&self, spans: &[Span], is_archived: bool) -> Keep {
        let least = if is_archived { self.archived() } else { self.shortest() };
        self.rules.iter().fold(least, |longest, rule| match &rule.of {
            Of::Spans(filter) if rule.keep > longest && filter.matches_trace(spans) => rule.keep,
            _ => longest,
        })
    }
}

/// What is wrong, and with which rule, counted from 0; with their number, if it is with all of them.
struct Fault {
    rule: usize,
    error: RetentionError,
}

fn check(rules: &[Rule]) -> Result<(), Fault> {
    let fault = |rule, error| Err(Fault { rule, error });
    if rules.len() > MAX_RULES {
        return fault(MAX_RULES, RetentionError::TooManyRules);
    }
    let first = |is: &dyn Fn(&Rule) -> bool| rules.iter().enumerate().find(|(_, rule)| is(rule));
    if let Some((number, rule)) = first(&|rule| !rule.keep.is_fit()) {
        return fault(number, RetentionError::Keep(rule.keep));
    }
    if let Some(number) = second(rules, &Of::All) {
        return fault(number, RetentionError::SecondForAll);
    }
    if let Some(number) = second(rules, &Of::Archived) {
        return fault(number, RetentionError::SecondForArchived);
    }
    let Some((_, Rule { keep: all, .. })) = first(&|rule| rule.of == Of::All) else {
        return fault(rules.len(), RetentionError::NoneForAll);
    };
    if let Some((number, rule)) = first(&|rule| rule.keep < *all) {
        return fault(number, RetentionError::Idle { rule: rule.to_string(), all: *all });
    }
    let sum = |of: fn(&Filter) -> usize| rules.iter().filter_map(Rule::filter).map(of).sum::<usize>();
    if sum(Filter::nodes) > MAX_NODES {
        return fault(rules.len(), RetentionError::TooManyNodes);
    }
    if sum(Filter::patterns) > MAX_PATTERNS {
        return fault(rules.len(), RetentionError::TooManyPatterns);
    }
    Ok(())
}

/// The second rule about the same.
fn second(rules: &[Rule], of: &Of) -> Option<usize> {
    rules.iter().enumerate().filter(|(_, rule)| rule.of == *of).map(|(number, _)| number).nth(1)
}

impl Rule {
    fn filter(&self) -> Option<&Filter> {
        match &self.of {
            Of::Spans(filter) => Some(filter),
            Of::All | Of::Archived => None,
        }
    }
}

impl Keep {
    fn is_fit(self) -> bool {
        match self {
            Self::For(duration) => {
                let is_whole = duration.as_secs() % HOUR_SECONDS == 0 && duration.subsec_nanos() == 0;
                is_whole && (SHORTEST..=LONGEST).contains(&duration)
            }
            Self::Forever => true,
        }
    }
}
