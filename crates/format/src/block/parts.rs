//! Which parts of spans are wanted: what is not named is not read.

use std::collections::BTreeSet;

use super::schema::Fixed;

/// Parts of spans. How many rows there are is known without any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    pub trace_ids: bool,
    pub span_ids: bool,
    /// Brings the ids of traces and spans too: most parents are named by their place in the trace.
    pub parents: bool,
    pub starts: bool,
    pub durations: bool,
    pub names: bool,
    pub kinds: bool,
    pub status_codes: bool,
    pub status_messages: bool,
    pub trace_states: bool,
    pub flags: bool,
    pub dropped_counts: bool,
    /// Resource and scope, the service's name among them.
    pub origins: bool,
    /// The service's name alone, see [`crate::columns::SpanColumns::services`].
    pub services: bool,
    pub attributes: AttributeParts,
    pub events: bool,
    pub links: bool,
}

/// Which attributes of spans are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeParts {
    /// Those with one of these keys, in columns of their own or among the others.
    Keys(BTreeSet<String>),
    All,
}

impl Default for AttributeParts {
    fn default() -> Self {
        Self::Keys(BTreeSet::new())
    }
}

impl AttributeParts {
    pub fn holds(&self, key: &str) -> bool {
        match self {
            Self::Keys(keys) => keys.contains(key),
            Self::All => true,
        }
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Keys(keys) if keys.is_empty())
    }

    fn add(&mut self, more: &Self) {
        match (&mut *self, more) {
            (Self::All, _) => {}
            (_, Self::All) => *self = Self::All,
            (Self::Keys(keys), Self::Keys(more)) => keys.extend(more.iter().cloned()),
        }
    }
}

impl Parts {
    /// Whole spans.
    pub fn all() -> Self {
        Self {
            trace_ids: true,
            span_ids: true,
            parents: true,
            starts: true,
            durations: true,
            names: true,
            kinds: true,
            status_codes: true,
            status_messages: true,
            trace_states: true,
            flags: true,
            dropped_counts: true,
            origins: true,
            services: false,
            attributes: AttributeParts::All,
            events: true,
            links: true,
        }
    }

    /// Whether a column is to be read.
    pub(crate) fn holds(&self, fixed: Fixed) -> bool {
        match fixed {
            Fixed::TraceId => self.trace_ids || self.parents,
            Fixed::SpanId => self.span_ids || self.parents,
            Fixed::Seq | Fixed::ParentSeq | Fixed::ParentSpanId => self.parents,
            Fixed::StartTime => self.starts,
            Fixed::Duration => self.durations,
            // Where origins are read, they tell it.
            Fixed::ServiceName => self.services && !self.origins,
            Fixed::Name => self.names,
            Fixed::Kind => self.kinds,
            Fixed::StatusCode => self.status_codes,
            Fixed::StatusMessage => self.status_messages,
            Fixed::TraceState => self.trace_states,
            Fixed::Flags => self.flags,
            Fixed::DroppedAttributes | Fixed::DroppedEvents | Fixed::DroppedLinks => self.dropped_counts,
            Fixed::OriginId => self.origins,
        }
    }

    /// These parts and those.
    #[must_use]
    pub fn and(mut self, more: &Self) -> Self {
        for (part, wanted) in [
            (&mut self.trace_ids, more.trace_ids),
            (&mut self.span_ids, more.span_ids),
            (&mut self.parents, more.parents),
            (&mut self.starts, more.starts),
            (&mut self.durations, more.durations),
            (&mut self.names, more.names),
            (&mut self.kinds, more.kinds),
            (&mut self.status_codes, more.status_codes),
            (&mut self.status_messages, more.status_messages),
            (&mut self.trace_states, more.trace_states),
            (&mut self.flags, more.flags),
            (&mut self.dropped_counts, more.dropped_counts),
            (&mut self.origins, more.origins),
            (&mut self.services, more.services),
            (&mut self.events, more.events),
            (&mut self.links, more.links),
        ] {
            *part |= wanted;
        }
        self.attributes.add(&more.attributes);
        self
    }
}
