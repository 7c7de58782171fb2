//! How deep messages may lie in each other: the usual limit of protobuf decoders, so that what one of them
//! sends another can read, and nobody can make the walker recurse without end.

/// How many messages may still be entered from within a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Depth(u8);

impl Depth {
    /// Within the request itself.
    pub(crate) const REQUEST: Self = Self(100);

    /// Within a message of this one; none if that is too deep.
    #[inline]
    pub(crate) fn enter(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }

    /// Within a message so many levels down, where that is known to be within the limit.
    pub(crate) const fn down(self, levels: u8) -> Self {
        Self(self.0.saturating_sub(levels))
    }
}
