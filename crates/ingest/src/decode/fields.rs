//! The fields of the OTLP messages: number and wire type of each, and `ALL`, a bit for each number.

use super::wire::{delimited, eight_bytes, four_bytes, varint};

pub(crate) mod request {
    use super::*;
    pub(crate) const RESOURCE_SPANS: u32 = delimited(1);
    pub(crate) const ALL: u32 = 0b10;
}

/// ResourceSpans and ScopeSpans, which have the same shape.
pub(crate) mod frame {
    use super::*;
    pub(crate) const AROUND: u32 = delimited(1);
    pub(crate) const PART: u32 = delimited(2);
    pub(crate) const SCHEMA_URL: u32 = delimited(3);
    pub(crate) const ALL: u32 = 0b1110;
}

pub(crate) mod resource {
    use super::*;
    pub(crate) const ATTRIBUTE: u32 = delimited(1);
    pub(crate) const DROPPED_ATTRIBUTES: u32 = varint(2);
    pub(crate) const ENTITY: u32 = delimited(3);
    pub(crate) const ALL: u32 = 0b1110;
}

pub(crate) mod entity {
    use super::*;
    pub(crate) const SCHEMA_URL: u32 = delimited(1);
    pub(crate) const KIND: u32 = delimited(2);
    pub(crate) const ID_KEY: u32 = delimited(3);
    pub(crate) const DESCRIPTION_KEY: u32 = delimited(4);
    pub(crate) const ALL: u32 = 0b1_1110;
}

pub(crate) mod scope {
    use super::*;
    pub(crate) const NAME: u32 = delimited(1);
    pub(crate) const VERSION: u32 = delimited(2);
    pub(crate) const ATTRIBUTE: u32 = delimited(3);
    pub(crate) const DROPPED_ATTRIBUTES: u32 = varint(4);
    pub(crate) const ALL: u32 = 0b1_1110;
}

pub(crate) mod span {
    use super::*;
    pub(crate) const TRACE_ID: u32 = delimited(1);
    pub(crate) const SPAN_ID: u32 = delimited(2);
    pub(crate) const TRACE_STATE: u32 = delimited(3);
    pub(crate) const PARENT_SPAN_ID: u32 = delimited(4);
    pub(crate) const NAME: u32 = delimited(5);
    pub(crate) const KIND: u32 = varint(6);
    pub(crate) const START: u32 = eight_bytes(7);
    pub(crate) const END: u32 = eight_bytes(8);
    pub(crate) const ATTRIBUTE: u32 = delimited(9);
    pub(crate) const DROPPED_ATTRIBUTES: u32 = varint(10);
    pub(crate) const EVENT: u32 = delimited(11);
    pub(crate) const DROPPED_EVENTS: u32 = varint(12);
    pub(crate) const LINK: u32 = delimited(13);
    pub(crate) const DROPPED_LINKS: u32 = varint(14);
    pub(crate) const STATUS: u32 = delimited(15);
    pub(crate) const FLAGS: u32 = four_bytes(16);
    pub(crate) const ALL: u32 = 0x1_fffe;
}

pub(crate) mod event {
    use super::*;
    pub(crate) const TIME: u32 = eight_bytes(1);
    pub(crate) const NAME: u32 = delimited(2);
    pub(crate) const ATTRIBUTE: u32 = delimited(3);
    pub(crate) const DROPPED_ATTRIBUTES: u32 = varint(4);
    pub(crate) const ALL: u32 = 0b1_1110;
}

pub(crate) mod link {
    use super::*;
    pub(crate) const TRACE_ID: u32 = delimited(1);
    pub(crate) const SPAN_ID: u32 = delimited(2);
    pub(crate) const TRACE_STATE: u32 = delimited(3);
    pub(crate) const ATTRIBUTE: u32 = delimited(4);
    pub(crate) const DROPPED_ATTRIBUTES: u32 = varint(5);
    pub(crate) const FLAGS: u32 = four_bytes(6);
    pub(crate) const ALL: u32 = 0b111_1110;
}

pub(crate) mod status {
    use super::*;
    pub(crate) const MESSAGE: u32 = delimited(2);
    pub(crate) const CODE: u32 = varint(3);
    pub(crate) const ALL: u32 = 0b1100;
}

pub(crate) mod pair {
    use super::*;
    pub(crate) const KEY: u32 = delimited(1);
    pub(crate) const VALUE: u32 = delimited(2);
    /// A reference into a table that traces do not have.
    pub(crate) const KEY_INDEX: u32 = varint(3);
    pub(crate) const ALL: u32 = 0b1110;
}

pub(crate) mod any {
    use super::*;
    pub(crate) const STR: u32 = delimited(1);
    pub(crate) const BOOL: u32 = varint(2);
    pub(crate) const INT: u32 = varint(3);
    pub(crate) const DOUBLE: u32 = eight_bytes(4);
    pub(crate) const ARRAY: u32 = delimited(5);
    pub(crate) const MAP: u32 = delimited(6);
    pub(crate) const BYTES: u32 = delimited(7);
    /// A reference into a table that traces do not have.
    pub(crate) const STR_INDEX: u32 = varint(8);
    pub(crate) const ALL: u32 = 0b1_1111_1110;
}

/// A list of values or of pairs.
pub(crate) mod list {
    use super::*;
    pub(crate) const ITEM: u32 = delimited(1);
    pub(crate) const ALL: u32 = 0b10;
}
