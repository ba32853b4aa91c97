//! First-in first-out queues as linked lists through a slab, so that any entry is removed in constant time.

/// An index in the slab.
pub type Place = u32;

/// The place of no entry.
pub const NONE: Place = Place::MAX;

/// An entry's neighbours.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    newer: Place,
    older: Place,
}

impl Default for Links {
    fn default() -> Self {
        Self { newer: NONE, older: NONE }
    }
}

/// A queue, and the bytes of its entries.
#[derive(Clone, Copy, Debug)]
pub struct List {
    newest: Place,
    oldest: Place,
    pub bytes: usize,
}

impl Default for List {
    fn default() -> Self {
        Self { newest: NONE, oldest: NONE, bytes: 0 }
    }
}

impl List {
    #[must_use]
    pub fn oldest(&self) -> Option<Place> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// Adds an entry as the newest one.
    pub fn push<S: ?Sized>(&mut self, slab: &mut S, place: Place, bytes: usize, links: Access<S>) {
        if let Some(entry) = links(slab, place) {
            *entry = Links { newer: NONE, older: self.newest };
        }
        match links(slab, self.newest) {
            Some(newest) => newest.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Removes an entry.
    pub fn remove<S: ?Sized>(&mut self, slab: &mut S, place: Place, bytes: usize, links: Access<S>) {
        let Some(Links { newer, older }) = links(slab, place).map(std::mem::take) else { return };
        match links(slab, newer) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match links(slab, older) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// Returns the links of the entry at a place; `None` for [`NONE`].
pub type Access<S> = fn(&mut S, Place) -> Option<&mut Links>;
