//! What the workers of one Envoy write for each other, and what one worker writes for itself where they share nothing.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// A place of the board. There is a fixed number of them, since the host's shared data knows no delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The key of the hash by which a session's slots are found: all workers must find the same ones.
    HashKey,
    /// See [`super::ends`].
    Mark(u16),
    /// See [`super::page`].
    Page(u16),
}

/// Which writing of a slot was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Nothing was written yet.
    Blank,
    Written(u32),
}

/// What the board could not do; whoever asked must go without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// A board of slots, and a number beside it that is read at next to no cost.
pub trait Board {
    fn epoch(&self) -> Result<u64, Unavailable>;

    fn raise_epoch(&self, by: u32) -> Result<(), Unavailable>;

    /// What stands in a slot; empty if nothing does.
    fn read(&self, slot: Slot) -> Result<(Vec<u8>, Version), Unavailable>;

    /// Writes a slot, whatever stands there.
    fn write(&self, slot: Slot, value: &[u8]) -> Result<(), Unavailable>;

    /// Writes a slot if it is still as it was read; says whether it was.
    fn replace(&self, slot: Slot, value: &[u8], read: Version) -> Result<bool, Unavailable>;
}

/// A board in this worker's own memory. Its clones are one board.
#[derive(Clone, Default)]
pub struct OwnBoard(Rc<Own>);

#[derive(Default)]
struct Own {
    epoch: Cell<u64>,
    slots: RefCell<HashMap<Slot, (Vec<u8>, u32)>>,
}

impl Board for OwnBoard {
    fn epoch(&self) -> Result<u64, Unavailable> {
        Ok(self.0.epoch.get())
    }

    fn raise_epoch(&self, by: u32) -> Result<(), Unavailable> {
        self.0.epoch.set(self.0.epoch.get().wrapping_add(by.into()));
        Ok(())
    }

    fn read(&self, slot: Slot) -> Result<(Vec<u8>, Version), Unavailable> {
        let slots = self.0.slots.borrow();
        Ok(slots
            .get(&slot)
            .map_or((Vec::new(), Version::Blank), |(value, version)| (value.clone(), Version::Written(*version))))
    }

    fn write(&self, slot: Slot, value: &[u8]) -> Result<(), Unavailable> {
        let mut slots = self.0.slots.borrow_mut();
        let (written, version) = slots.entry(slot).or_default();
        value.clone_into(written);
        *version = version.wrapping_add(1);
        Ok(())
    }

    fn replace(&self, slot: Slot, value: &[u8], read: Version) -> Result<bool, Unavailable> {
        let same = self.read(slot)?.1 == read;
        if same {
            self.write(slot, value)?;
        }
        Ok(same)
    }
}
