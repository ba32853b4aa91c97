//! What the workers of one Envoy share: numbered slots of bytes and one number, the epoch.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// A slot of the shared data. The number of slots is fixed, since Envoy's shared data has no delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The key of the hash that assigns sessions to slots: 16 bytes, the same for all workers.
    HashKey,
    /// An invalidation tag, see [`super::invalidation`].
    Tag(u16),
    /// A shared entry, see [`super::shared_entry`].
    Entry(u16),
    /// Lookups of sessions under `limits.idle`, see [`super::idle_registry`].
    Idle(u16),
    /// What a worker has added to the gauges, see [`crate::worker::ledger`].
    Gauges(u16),
}

/// The version of a slot's value, for compare-and-swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotVersion {
    /// The slot was never written.
    Unwritten,
    /// The number that the host gave the latest write (`cas` of `proxy_get_shared_data`, proxy-wasm ABI 0.2.1).
    Written(u32),
}

/// The shared data could not be read or written. The caller continues without it, and keeps nothing that depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// Slots of bytes, and a number that is read at next to no cost (in Envoy a gauge, which no admin command resets).
pub trait SharedData {
    /// The number that every invalidation raises.
    ///
    /// # Errors
    ///
    /// If the host does not give access to it.
    fn epoch(&self) -> Result<u64, Unavailable>;

    /// Adds `by` to the epoch, for all workers.
    ///
    /// # Errors
    ///
    /// If the host does not give access to it.
    fn raise_epoch(&self, by: u32) -> Result<(), Unavailable>;

    /// A slot's value and its version. The value of a slot that was never written is empty.
    ///
    /// # Errors
    ///
    /// If the host does not give access to the slot.
    fn read(&self, slot: Slot) -> Result<(Vec<u8>, SlotVersion), Unavailable>;

    /// Writes a slot unconditionally.
    ///
    /// # Errors
    ///
    /// If the host does not give access to the slot.
    fn write(&self, slot: Slot, value: &[u8]) -> Result<(), Unavailable>;

    /// Writes a slot if its version is still `expected`, and returns whether it was.
    ///
    /// # Errors
    ///
    /// If the host does not give access to the slot.
    fn compare_and_swap(&self, slot: Slot, value: &[u8], expected: SlotVersion) -> Result<bool, Unavailable>;
}

/// How often a compare-and-swap is repeated when another worker wrote the slot in between.
pub const MAX_ATTEMPTS: usize = 16;

/// Applies `change` to a slot by compare-and-swap.
///
/// # Errors
///
/// If another worker wrote the slot during each of [`MAX_ATTEMPTS`] attempts, or the data is not available.
pub fn update(data: &dyn SharedData, slot: Slot, mut change: impl FnMut(&[u8]) -> Vec<u8>) -> Result<(), Unavailable> {
    for _ in 0..MAX_ATTEMPTS {
        let (value, version) = data.read(slot)?;
        if data.compare_and_swap(slot, &change(&value), version)? {
            return Ok(());
        }
    }
    Err(Unavailable)
}

/// Shared data in this worker's own memory, for workers that share nothing (`cache.shared: false`) and for whatever drives
/// workers without a host. Clones refer to the same data.
#[derive(Clone, Default)]
pub struct LocalData(Rc<Local>);

#[derive(Default)]
struct Local {
    epoch: Cell<u64>,
    slots: RefCell<HashMap<Slot, (Vec<u8>, u32)>>,
}

impl SharedData for LocalData {
    fn epoch(&self) -> Result<u64, Unavailable> {
        Ok(self.0.epoch.get())
    }

    fn raise_epoch(&self, by: u32) -> Result<(), Unavailable> {
        self.0.epoch.set(self.0.epoch.get().wrapping_add(by.into()));
        Ok(())
    }

    fn read(&self, slot: Slot) -> Result<(Vec<u8>, SlotVersion), Unavailable> {
        let slots = self.0.slots.borrow();
        Ok(slots.get(&slot).map_or((Vec::new(), SlotVersion::Unwritten), |(value, version)| {
            (value.clone(), SlotVersion::Written(*version))
        }))
    }

    fn write(&self, slot: Slot, value: &[u8]) -> Result<(), Unavailable> {
        let mut slots = self.0.slots.borrow_mut();
        let (written, version) = slots.entry(slot).or_default();
        value.clone_into(written);
        *version = version.wrapping_add(1);
        Ok(())
    }

    fn compare_and_swap(&self, slot: Slot, value: &[u8], expected: SlotVersion) -> Result<bool, Unavailable> {
        let is_unchanged = self.read(slot)?.1 == expected;
        if is_unchanged {
            self.write(slot, value)?;
        }
        Ok(is_unchanged)
    }
}
