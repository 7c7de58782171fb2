//! OTLP's messages: the names of their members and the numbers of their fields.
//!
//! Names are accepted as proto3 JSON writes them and as the schema does. What is not known is passed over,
//! `null` is absent, and of a member that comes twice the later one holds, as protobuf has it.

use crate::export::SpanFault;

use super::{Problem, Step, Transcoder};

/// Messages within each other that are still read: protobuf decoders stop at 100.
const MOST_DEPTH: usize = 99;
/// The depth of a value in an attribute of a link or event, the deepest place: request, resource spans, scope
/// spans, span, event, attribute, value. Those of spans, scopes and resources count from there too.
const VALUE_DEPTH: usize = 7;

impl Transcoder<'_> {
    pub(super) fn request(&mut self) -> Step {
        self.members("a request", |at, name| match name {
            "resourceSpans" | "resource_spans" => at.messages(1, Self::resource_spans),
            _ => at.json.skip(),
        })
    }

    fn resource_spans(&mut self) -> Step {
        self.members("resource spans", |at, name| match name {
            "resource" => at.message(1, Self::resource),
            "scopeSpans" | "scope_spans" => at.messages(2, Self::scope_spans),
            "schemaUrl" | "schema_url" => at.text(3),
            _ => at.json.skip(),
        })
    }

    fn resource(&mut self) -> Step {
        self.members("a resource", |at, name| match name {
            "attributes" => at.attributes(1),
            "droppedAttributesCount" | "dropped_attributes_count" => at.uint32(2),
            "entityRefs" | "entity_refs" => at.messages(3, Self::entity_ref),
            _ => at.json.skip(),
        })
    }

    fn entity_ref(&mut self) -> Step {
        self.members("an entity reference", |at, name| match name {
            "schemaUrl" | "schema_url" => at.text(1),
            "type" => at.text(2),
            "idKeys" | "id_keys" => at.elements(|at| at.text(3)),
            "descriptionKeys" | "description_keys" => at.elements(|at| at.text(4)),
            _ => at.json.skip(),
        })
    }

    fn scope_spans(&mut self) -> Step {
        self.members("scope spans", |at, name| match name {
            "scope" => at.message(1, Self::scope),
            "spans" => at.elements(Self::span_or_refusal),
            "schemaUrl" | "schema_url" => at.text(3),
            _ => at.json.skip(),
        })
    }

    fn scope(&mut self) -> Step {
        self.members("a scope", |at, name| match name {
            "name" => at.text(1),
            "version" => at.text(2),
            "attributes" => at.attributes(3),
            "droppedAttributesCount" | "dropped_attributes_count" => at.uint32(4),
            _ => at.json.skip(),
        })
    }

    /// Fails only if the span is no JSON.
    fn span_or_refusal(&mut self) -> Step {
        let (read, written) = (self.json.position(), self.out.len());
        let Err(problem) = self.message(2, Self::span) else { return Ok(()) };
        self.json.go_back_to(read);
        self.json.skip()?;
        self.out.truncate(written);
        self.refused.add(problem.fault);
        self.first_refused.get_or_insert(problem.error);
        Ok(())
    }

    fn span(&mut self) -> Step {
        self.members("a span", |at, name| match name {
            "traceId" | "trace_id" => at.id(1, SpanFault::TraceId),
            "spanId" | "span_id" => at.id(2, SpanFault::SpanId),
            "traceState" | "trace_state" => at.text(3),
            "parentSpanId" | "parent_span_id" => at.id(4, SpanFault::ParentSpanId),
            "name" => at.text(5),
            "kind" => at.span_kind(6),
            "startTimeUnixNano" | "start_time_unix_nano" => at.fixed64(7),
            "endTimeUnixNano" | "end_time_unix_nano" => at.fixed64(8),
            "attributes" => at.attributes(9),
            "droppedAttributesCount" | "dropped_attributes_count" => at.uint32(10),
            "events" => at.messages(11, Self::event),
            "droppedEventsCount" | "dropped_events_count" => at.uint32(12),
            "links" => at.messages(13, Self::link),
            "droppedLinksCount" | "dropped_links_count" => at.uint32(14),
            "status" => at.message(15, Self::status),
            "flags" => at.fixed32(16),
            _ => at.json.skip(),
        })
    }

    fn event(&mut self) -> Step {
        self.members("an event", |at, name| match name {
            "timeUnixNano" | "time_unix_nano" => at.fixed64(1),
            "name" => at.text(2),
            "attributes" => at.attributes(3),
            "droppedAttributesCount" | "dropped_attributes_count" => at.uint32(4),
            _ => at.json.skip(),
        })
    }

    fn link(&mut self) -> Step {
        self.members("a link", |at, name| match name {
            "traceId" | "trace_id" => at.id(1, SpanFault::LinkId),
            "spanId" | "span_id" => at.id(2, SpanFault::LinkId),
            "traceState" | "trace_state" => at.text(3),
            "attributes" => at.attributes(4),
            "droppedAttributesCount" | "dropped_attributes_count" => at.uint32(5),
            "flags" => at.fixed32(6),
            _ => at.json.skip(),
        })
    }

    fn status(&mut self) -> Step {
        self.members("a status", |at, name| match name {
            "message" => at.text(2),
            "code" => at.status_code(3),
            _ => at.json.skip(),
        })
    }

    fn attributes(&mut self, field: u32) -> Step {
        self.messages(field, |at| at.attribute(VALUE_DEPTH))
    }

    /// `depth` is that of the value.
    fn attribute(&mut self, depth: usize) -> Step {
        self.members("an attribute", |at, name| match name {
            "key" => at.text(1),
            "value" => at.message(2, |at| at.value(depth)),
            _ => at.json.skip(),
        })
    }

    fn value(&mut self, depth: usize) -> Step {
        if depth > MOST_DEPTH {
            let at = self.json.position();
            return Err(Problem::new(at, "values that are not that deep", SpanFault::TooDeep));
        }
        self.members("a value", |at, name| match name {
            "stringValue" | "string_value" => at.text(1),
            "boolValue" | "bool_value" => at.bool(2),
            "intValue" | "int_value" => at.int64(3),
            "doubleValue" | "double_value" => at.double(4),
            "arrayValue" | "array_value" => at.message(5, |at| at.values(depth + 2)),
            "kvlistValue" | "kvlist_value" => at.message(6, |at| at.pairs(depth + 3)),
            "bytesValue" | "bytes_value" => at.base64(7),
            _ => at.json.skip(),
        })
    }

    /// An array's elements keep their places: `null` is a value without content.
    fn values(&mut self, depth: usize) -> Step {
        let element = |at: &mut Self| if at.json.null()? { Ok(()) } else { at.value(depth) };
        self.members("an array", |at, name| match name {
            "values" => at.messages(1, element),
            _ => at.json.skip(),
        })
    }

    fn pairs(&mut self, depth: usize) -> Step {
        self.members("a list of pairs", |at, name| match name {
            "values" => at.messages(1, |at| at.attribute(depth)),
            _ => at.json.skip(),
        })
    }

    fn message(&mut self, field: u32, content: impl FnOnce(&mut Self) -> Step) -> Step {
        let open = self.out.begin(field);
        content(self)?;
        self.out.end(open);
        Ok(())
    }

    fn messages(&mut self, field: u32, mut content: impl FnMut(&mut Self) -> Step) -> Step {
        self.elements(|at| at.message(field, &mut content))
    }

    fn elements(&mut self, mut element: impl FnMut(&mut Self) -> Step) -> Step {
        let mut more = self.json.enter(b'[', "a list")?;
        while more {
            element(self)?;
            more = self.json.more(b'[')?;
        }
        Ok(())
    }

    fn members(&mut self, what: &'static str, mut member: impl FnMut(&mut Self, &str) -> Step) -> Step {
        let mut more = self.json.enter(b'{', what)?;
        while more {
            let name = self.json.key()?;
            if !self.json.null()? {
                member(self, &name)?;
            }
            more = self.json.more(b'{')?;
        }
        Ok(())
    }
}
