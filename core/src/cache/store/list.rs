//! First-in first-out queues threaded through a slab, from whose middle an entry goes without a search.

/// A place in the slab.
pub type Place = u32;

/// No place.
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

/// One queue, with the bytes of what is in it.
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

    /// Puts an entry in as the newest one. `links` finds an entry's links.
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

    /// Takes an entry out, wherever it stands.
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

/// Finds the links of the entry at a place; none for [`NONE`].
pub type Access<S> = fn(&mut S, Place) -> Option<&mut Links>;
