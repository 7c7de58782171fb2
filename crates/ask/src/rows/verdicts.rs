//! Answers that are given once for each distinct thing, however many rows have it.

/// The answers to one question about numbered things, as far as they were needed.
#[derive(Debug)]
pub(super) struct Verdicts(Vec<Option<bool>>);

impl Verdicts {
    /// For things with numbers below `things`.
    pub(super) fn new(things: usize) -> Self {
        Self(vec![None; things])
    }

    #[inline]
    pub(super) fn get(&mut self, number: u32, ask: impl FnOnce() -> bool) -> bool {
        *self.0[number as usize].get_or_insert_with(ask)
    }

    #[inline]
    pub(super) fn try_get<E>(
        &mut self,
        number: u32,
        ask: impl FnOnce() -> Result<bool, E>,
    ) -> Result<bool, E> {
        match self.0[number as usize] {
            Some(verdict) => Ok(verdict),
            None => Ok(*self.0[number as usize].insert(ask()?)),
        }
    }
}
