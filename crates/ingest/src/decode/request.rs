//! A request and what stands around spans: ResourceSpans and ScopeSpans.
//!
//! Both have the same shape: what stands around (a resource, a scope), many parts, a schema url. What stands
//! around may come after the parts, so each is looked through before its parts are.

use std::borrow::Cow;

use siltstone_format::columns::{OriginNumber, SpanColumns};

use super::depth::Depth;
use super::fields::{frame, request};
use super::origin::{OriginCache, OriginError, OriginLimits, Surroundings};
use super::span::{Refusal, SpanReader};
use super::value::joined;
use super::wire::{Malformed, Wire};
use super::{DecodeError, Decoded, Rules};
use crate::export::{Refusals, SpanFault};

/// Bytes of origins that are decoded for each byte of a request, and besides: usual senders stay far below.
const ORIGIN_BYTES_PER_BYTE: usize = 8;
const FREE_ORIGIN_BYTES: usize = 4 << 20;

/// Which spans are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice<'a> {
    ByRules(&'a Rules),
    /// Positions, ascending.
    AllBut(&'a [u32]),
}

/// Goes through one request.
pub(crate) struct Walker<'a> {
    choice: Choice<'a>,
    columns: &'a mut SpanColumns,
    origins: &'a mut OriginCache,
    spans: SpanReader,
    origin_limits: OriginLimits,
    /// Position of the next span.
    ordinal: u32,
    decoded: Decoded,
}

/// A ResourceSpans or a ScopeSpans that was looked through.
struct Frame<'a> {
    around: Cow<'a, [u8]>,
    schema_url: &'a [u8],
    has_parts: bool,
    message: &'a [u8],
    depth: Depth,
}

/// How far a request was gone through, to go back there.
struct Progress<'a> {
    choice: Choice<'a>,
    ordinal: u32,
    accepted: u64,
    refused: Refusals,
    refused_ordinals: usize,
}

impl<'a> Progress<'a> {
    fn of(walker: &Walker<'a>) -> Self {
        Self {
            choice: walker.choice,
            ordinal: walker.ordinal,
            accepted: walker.decoded.accepted,
            refused: walker.decoded.refused,
            refused_ordinals: walker.decoded.refused_ordinals.len(),
        }
    }

    fn restore(&self, walker: &mut Walker<'a>) {
        walker.choice = self.choice;
        walker.ordinal = self.ordinal;
        walker.decoded.accepted = self.accepted;
        walker.decoded.refused = self.refused;
        walker.decoded.refused_ordinals.truncate(self.refused_ordinals);
    }
}

/// Ends the reading of a frame: its own damage (none), or what was made of a part.
type Stop = Option<DecodeError>;

impl From<Malformed> for Stop {
    fn from(_: Malformed) -> Self {
        None
    }
}

impl<'a> Frame<'a> {
    /// Looks through a frame and passes over its parts.
    fn read(message: &'a [u8], depth: Depth) -> Result<Self, Stop> {
        Self::read_with(message, depth, |_| Ok(()))
    }

    /// Looks through a frame and calls back for each part on the way.
    fn read_with(
        message: &'a [u8],
        depth: Depth,
        mut each: impl FnMut(&'a [u8]) -> Result<(), DecodeError>,
    ) -> Result<Self, Stop> {
        let mut wire = Wire::new(message);
        let (mut around, mut schema_url): (&[u8], &[u8]) = (&[], &[]);
        let (mut pieces, mut has_parts) = (0_u32, false);
        while !wire.is_empty() {
            match wire.key()? {
                frame::PART => {
                    has_parts = true;
                    each(wire.bytes()?)?;
                }
                frame::AROUND => {
                    around = wire.bytes()?;
                    pieces = pieces.saturating_add(1);
                }
                frame::SCHEMA_URL => schema_url = wire.bytes()?,
                other => wire.skip(other, frame::ALL, depth)?,
            }
        }
        let around = match pieces {
            0 | 1 => Cow::Borrowed(around),
            _ => Cow::Owned(joined(message, frame::AROUND, depth)?),
        };
        Ok(Self { around, schema_url, has_parts, message, depth })
    }

    /// Calls back for each part.
    fn parts(&self, mut each: impl FnMut(&'a [u8]) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
        let damaged = |_| DecodeError::Malformed { message: "what stands around spans" };
        let mut wire = Wire::new(self.message);
        while !wire.is_empty() {
            match wire.key().map_err(damaged)? {
                frame::PART => each(wire.bytes().map_err(damaged)?)?,
                other => wire.skip(other, 0, self.depth).map_err(damaged)?,
            }
        }
        Ok(())
    }

    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings { message: &self.around, schema_url: self.schema_url }
    }
}

impl<'a> Walker<'a> {
    pub(crate) fn new(
        choice: Choice<'a>,
        columns: &'a mut SpanColumns,
        origins: &'a mut OriginCache,
    ) -> Self {
        let rules = match choice {
            Choice::ByRules(rules) => rules.clone(),
            Choice::AllBut(_) => Rules::NONE,
        };
        let origin_limits =
            OriginLimits { attribute_bytes: rules.attribute_bytes, decoded_bytes: usize::MAX };
        let spans = SpanReader::new(rules, columns);
        Self { choice, columns, origins, spans, origin_limits, ordinal: 0, decoded: Decoded::default() }
    }

    pub(crate) fn request(mut self, body: &[u8]) -> Result<Decoded, DecodeError> {
        let damaged = |_| DecodeError::Malformed { message: "ExportTraceServiceRequest" };
        self.origins.begin(self.columns);
        if let Choice::ByRules(_) = self.choice {
            self.origin_limits.decoded_bytes =
                body.len().saturating_mul(ORIGIN_BYTES_PER_BYTE) + FREE_ORIGIN_BYTES;
        }
        let mut wire = Wire::new(body);
        while !wire.is_empty() {
            match wire.key().map_err(damaged)? {
                request::RESOURCE_SPANS => self.resource_spans(wire.bytes().map_err(damaged)?)?,
                other => wire.skip(other, request::ALL, Depth::REQUEST).map_err(damaged)?,
            }
        }
        match self.choice {
            Choice::AllBut([ordinal, ..]) => Err(DecodeError::NoSuchSpan { ordinal: *ordinal }),
            _ => Ok(self.decoded),
        }
    }

    fn resource_spans(&mut self, message: &[u8]) -> Result<(), DecodeError> {
        let frame = Frame::read(message, Depth::REQUEST.down(1))
            .map_err(|stop| stop.unwrap_or(DecodeError::Malformed { message: "ResourceSpans" }))?;
        if !frame.has_parts {
            return Ok(());
        }
        let resource = self.origins.resource(frame.surroundings());
        frame.parts(|message| self.scope_spans(message, resource, &frame))
    }

    /// Spans are read before all that stands around them is known, so that their bytes are gone through once:
    /// their origin is filled in behind them.
    fn scope_spans(&mut self, message: &[u8], resource: u64, around: &Frame<'_>) -> Result<(), DecodeError> {
        let begun = Progress::of(self);
        let first_row = self.columns.len();
        let frame = Frame::read_with(message, Depth::REQUEST.down(2), |span| {
            self.span(span, Ok(OriginNumber::default()))
        })
        .map_err(|stop| stop.unwrap_or(DecodeError::Malformed { message: "ScopeSpans" }))?;
        let is_replayed = matches!(self.choice, Choice::AllBut(_));
        // The rules may have refused an origin before its damage was seen: a replay, which has no rules, must not
        // look at what nothing was taken of.
        if !frame.has_parts || is_replayed && self.columns.len() == first_row {
            return Ok(());
        }
        let origin = self.origins.origin(
            resource,
            around.surroundings(),
            frame.surroundings(),
            &mut self.origin_limits,
            self.columns,
        );
        match origin {
            Ok(origin) => {
                self.columns.set_origin(first_row, origin);
                Ok(())
            }
            Err(OriginError::Unacceptable(fault)) => {
                self.columns.truncate(first_row);
                begun.restore(self);
                frame.parts(|message| self.span(message, Err(fault)))
            }
            Err(OriginError::TooLarge) => Err(DecodeError::OriginsTooLarge),
            Err(OriginError::Malformed(message)) => Err(DecodeError::Malformed { message }),
        }
    }

    fn span(&mut self, message: &[u8], origin: Result<OriginNumber, SpanFault>) -> Result<(), DecodeError> {
        let ordinal = self.ordinal;
        self.ordinal = ordinal.checked_add(1).ok_or(DecodeError::Full)?;
        if let Choice::AllBut([first, rest @ ..]) = self.choice
            && *first == ordinal
        {
            self.choice = Choice::AllBut(rest);
            return Ok(());
        }
        let taken = if ordinal as usize >= self.spans.rules().spans {
            Err(Refusal::Fault(SpanFault::TooManySpans))
        } else {
            match origin {
                Ok(origin) => self.spans.read(message, origin, self.columns),
                Err(fault) => Err(Refusal::Fault(fault)),
            }
        };
        match (taken, self.choice) {
            (Ok(()), _) => self.decoded.accepted += 1,
            (Err(Refusal::Full), _) => return Err(DecodeError::Full),
            (Err(Refusal::Fault(fault)), Choice::AllBut(_)) => {
                return Err(DecodeError::Span { ordinal, fault });
            }
            (Err(Refusal::Fault(fault)), Choice::ByRules(_)) => {
                self.decoded.refused.add(fault);
                self.decoded.refused_ordinals.push(ordinal);
            }
        }
        Ok(())
    }
}
