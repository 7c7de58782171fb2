//! Origins outside of columns: with what is known of each, and shared by blocks.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::origin::Origin;

/// An origin with its content spelled out and its memory counted, which takes longer than to find it.
#[derive(Clone, Debug)]
pub struct KnownOrigin {
    pub(crate) origin: Arc<Origin>,
    pub(super) canonical: Arc<[u8]>,
    pub(super) memory_bytes: usize,
}

impl KnownOrigin {
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }
}

impl From<Origin> for KnownOrigin {
    fn from(origin: Origin) -> Self {
        let canonical: Arc<[u8]> = origin.canonical().into();
        let memory_bytes = super::memory::of_origin(&origin, &canonical);
        Self { origin: Arc::new(origin), canonical, memory_bytes }
    }
}

/// Origins of several blocks, each content once: then it is found by where it lies.
#[derive(Debug)]
pub struct OriginPool {
    known: HashMap<Arc<[u8]>, KnownOrigin, foldhash::fast::RandomState>,
    bytes: usize,
    most_bytes: usize,
}

impl Default for OriginPool {
    /// One that takes all it is given.
    fn default() -> Self {
        Self::of(usize::MAX)
    }
}

impl OriginPool {
    /// One that holds so many bytes at most.
    pub fn of(most_bytes: usize) -> Self {
        Self { known: HashMap::default(), bytes: 0, most_bytes }
    }

    /// Memory that it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The first one with this content; none: it is another's, and there is no room for it.
    pub(crate) fn shared(&mut self, origin: &KnownOrigin) -> Option<KnownOrigin> {
        if let Some(known) = self.known.get(&origin.canonical) {
            return Some(known.clone());
        }
        if self.most_bytes - self.bytes < origin.memory_bytes {
            return None;
        }
        self.bytes += origin.memory_bytes;
        self.known.insert(Arc::clone(&origin.canonical), origin.clone());
        Some(origin.clone())
    }

    /// Lets go of what nobody else holds, if less than a quarter of the room is left.
    pub(crate) fn make_room(&mut self) {
        if self.bytes < self.most_bytes / 4 * 3 {
            return;
        }
        self.known.retain(|_, known| Arc::strong_count(&known.origin) > 1);
        self.bytes = self.known.values().map(|known| known.memory_bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(scope: &str) -> KnownOrigin {
        Origin { scope_name: scope.to_owned(), ..Origin::default() }.into()
    }

    #[test]
    fn should_hold_a_content_once() {
        let mut pool = OriginPool::default();
        let first = pool.shared(&origin("a")).unwrap();
        let again = pool.shared(&origin("a")).unwrap();
        assert!(Arc::ptr_eq(&first.origin, &again.origin));
        assert!(!Arc::ptr_eq(&first.origin, &pool.shared(&origin("b")).unwrap().origin));
    }

    #[test]
    fn should_take_no_more_than_it_has_room_for_and_let_go_of_what_nobody_else_holds() {
        let mut pool = OriginPool::of(2 * origin("a").memory_bytes());
        let held = pool.shared(&origin("a")).unwrap();
        drop(pool.shared(&origin("b")).unwrap());
        assert!(pool.shared(&origin("c")).is_none());
        pool.make_room();
        assert!(pool.shared(&origin("c")).is_some());
        assert!(Arc::ptr_eq(&held.origin, &pool.shared(&origin("a")).unwrap().origin));
    }
}
