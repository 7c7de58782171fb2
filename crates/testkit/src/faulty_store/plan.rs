//! What can go wrong, and when it does: rules for chosen requests, chance for all others.

use std::time::Duration;

use object_store::path::Path;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::operation::Operation;

/// What is done to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens, and the caller sees an error.
    ErrorBefore,
    /// It takes effect, and the caller sees an error: the answer was lost.
    ErrorAfter,
    /// It waits for so long on the injected clock, and goes on as usual. Adds to any other fault.
    Delay(Duration),
    /// The caller sees an error now, and it takes effect when it is released. Writes only.
    LandsLater,
    /// It takes effect twice in a row, and the caller sees the second answer: after a retry inside the
    /// client, a create meets its own object. An upload in parts takes it as one delivery.
    DeliveredTwice,
    /// It takes effect as usual, and once more when it is released. Writes only.
    AgainLater,
    /// Nothing happens, and the caller is told that the object exists: how a conflict between two writers
    /// may look although neither has written. Only for what creates.
    SaysExists,
}

/// Which requests meet a fault. Without further words all of them do.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    operation: Option<Operation>,
    under: String,
    containing: String,
    first: u64,
    last: u64,
    /// How many requests it has been asked about that it is meant for.
    seen: u64,
}

/// Chances, each between 0 and 1. Faults that a request cannot have do not happen to it.
#[derive(Clone, Debug)]
pub struct RandomFaults {
    pub seed: u64,
    pub error_before: f64,
    pub error_after: f64,
    pub lands_later: f64,
    pub delivered_twice: f64,
    pub again_later: f64,
    pub says_exists: f64,
    pub delay: f64,
    pub longest_delay: Duration,
}

/// Rules first: the first one that names a request decides about it, delays of all of them add up. A request
/// that no rule names is left to chance.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    rules: Vec<Rule>,
    chance: Option<Chance>,
}

#[derive(Clone, Debug)]
struct Chance {
    faults: RandomFaults,
    generator: ChaCha8Rng,
}

/// What was decided about one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) delay: Option<Duration>,
    pub(super) fault: Option<Fault>,
}

impl Fault {
    fn can_happen_to(self, operation: Operation, creates: bool) -> bool {
        match self {
            Fault::ErrorBefore | Fault::ErrorAfter | Fault::Delay(_) | Fault::DeliveredTwice => true,
            Fault::LandsLater | Fault::AgainLater => matches!(
                operation,
                Operation::Put | Operation::MultipartComplete | Operation::Delete | Operation::Copy
            ),
            Fault::SaysExists => creates,
        }
    }
}

impl Rule {
    pub fn new(fault: Fault) -> Self {
        Rule {
            fault,
            operation: None,
            under: String::new(),
            containing: String::new(),
            first: 1,
            last: u64::MAX,
            seen: 0,
        }
    }

    /// Only requests of this kind.
    pub fn on(self, operation: Operation) -> Self {
        Rule { operation: Some(operation), ..self }
    }

    /// Only objects whose path begins with this text.
    pub fn under(self, prefix: &str) -> Self {
        Rule { under: prefix.to_owned(), ..self }
    }

    /// Only objects whose path contains this text.
    pub fn containing(self, text: &str) -> Self {
        Rule { containing: text.to_owned(), ..self }
    }

    /// Only the n-th request of those that it is meant for, counted from 1.
    pub fn nth(self, n: u64) -> Self {
        Rule { first: n, last: n, ..self }
    }

    /// Only the first n of them.
    pub fn first(self, n: u64) -> Self {
        Rule { first: 1, last: n, ..self }
    }

    /// The n-th and all that follow.
    pub fn from_nth(self, n: u64) -> Self {
        Rule { first: n, last: u64::MAX, ..self }
    }

    /// Counts the request if the rule is meant for it, and says whether its turn has come.
    fn names(&mut self, operation: Operation, location: &Path, creates: bool) -> bool {
        let meant = self.operation.is_none_or(|own| own == operation)
            && location.as_ref().starts_with(&self.under)
            && location.as_ref().contains(&self.containing)
            && self.fault.can_happen_to(operation, creates);
        if !meant {
            return false;
        }
        self.seen += 1;
        (self.first..=self.last).contains(&self.seen)
    }
}

impl RandomFaults {
    /// No fault has a chance yet.
    pub fn none(seed: u64) -> Self {
        RandomFaults {
            seed,
            error_before: 0.0,
            error_after: 0.0,
            lands_later: 0.0,
            delivered_twice: 0.0,
            again_later: 0.0,
            says_exists: 0.0,
            delay: 0.0,
            longest_delay: Duration::ZERO,
        }
    }

    /// Every fault but delays has the same chance.
    pub fn each(seed: u64, chance: f64) -> Self {
        RandomFaults {
            error_before: chance,
            error_after: chance,
            lands_later: chance,
            delivered_twice: chance,
            again_later: chance,
            says_exists: chance,
            ..RandomFaults::none(seed)
        }
    }

    /// With delays of up to so long.
    pub fn delaying(self, chance: f64, longest_delay: Duration) -> Self {
        RandomFaults { delay: chance, longest_delay, ..self }
    }
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        FaultPlan::default()
    }

    pub fn script(rules: impl IntoIterator<Item = Rule>) -> Self {
        FaultPlan { rules: rules.into_iter().collect(), chance: None }
    }

    /// The same seed and the same requests in the same order meet the same faults.
    pub fn random(faults: RandomFaults) -> Self {
        FaultPlan::none().with_random(faults)
    }

    /// These rules, and chance for the rest.
    pub fn with_random(self, faults: RandomFaults) -> Self {
        let generator = ChaCha8Rng::seed_from_u64(faults.seed);
        FaultPlan { chance: Some(Chance { faults, generator }), ..self }
    }

    pub(super) fn decide(&mut self, operation: Operation, location: &Path, creates: bool) -> Decision {
        let mut decision = Decision::default();
        let mut named = false;
        // Every rule is asked, so that each counts all requests that it is meant for.
        for rule in &mut self.rules {
            if !rule.names(operation, location, creates) {
                continue;
            }
            named = true;
            match rule.fault {
                Fault::Delay(delay) => {
                    decision.delay = Some(decision.delay.unwrap_or_default().saturating_add(delay));
                }
                fault => decision.fault = decision.fault.or(Some(fault)),
            }
        }
        match &mut self.chance {
            Some(chance) if !named => chance.decide(operation, creates),
            _ => decision,
        }
    }
}

impl Chance {
    fn decide(&mut self, operation: Operation, creates: bool) -> Decision {
        // Always the same number of draws, so that one fault less does not change all that follow.
        let [for_fault, for_delay, for_length] = std::array::from_fn(|_| self.generator.random::<f64>());
        let delay = (for_delay < self.faults.delay).then(|| self.faults.longest_delay.mul_f64(for_length));
        let chances = [
            (Fault::ErrorBefore, self.faults.error_before),
            (Fault::ErrorAfter, self.faults.error_after),
            (Fault::LandsLater, self.faults.lands_later),
            (Fault::DeliveredTwice, self.faults.delivered_twice),
            (Fault::AgainLater, self.faults.again_later),
            (Fault::SaysExists, self.faults.says_exists),
        ];
        let mut reached = 0.0;
        let drawn = chances.into_iter().find_map(|(fault, chance)| {
            reached += chance;
            (for_fault < reached).then_some(fault)
        });
        Decision { delay, fault: drawn.filter(|fault| fault.can_happen_to(operation, creates)) }
    }
}
