//! The core's shared data in Envoy: proxy-wasm's shared data, and a gauge as the epoch.

use std::rc::Rc;

use rest_sessions_core::cache::shared_data::{SharedData, Slot, SlotVersion, Unavailable};
use rest_sessions_core::exchange::Refused;

use crate::host;
use crate::metrics::Metrics;

pub struct HostSharedData(pub Rc<Metrics>);

/// A version that the host never has, since it counts from 1. The host writes a key that was never set whatever the version,
/// and refuses this one once another worker has set the key.
const NO_VERSION: u32 = u32::MAX;

/// Writes unconditionally.
const ANY_VERSION: u32 = 0;

/// The key of a slot. Other plugins, and other versions of this one, may use the same shared data.
fn key(slot: Slot) -> [u8; 20] {
    const PREFIX: &[u8; 15] = b"rest_sessions.1";
    let (kind, number) = match slot {
        Slot::HashKey => (b'k', 0),
        Slot::Tag(number) => (b'm', number),
        Slot::Entry(number) => (b'p', number),
        Slot::Idle(number) => (b'i', number),
        Slot::Gauges(number) => (b'g', number),
    };
    let [low, high] = number.to_le_bytes();
    let mut key = [b'.'; 20];
    let end = [b'.', kind, low, high];
    for (to, from) in key.iter_mut().zip(PREFIX.iter().chain(&end)) {
        *to = *from;
    }
    key
}

fn unavailable(refused: Refused) -> Unavailable {
    log::debug!("event=shared_data_refused status={refused:?}");
    Unavailable
}

impl SharedData for HostSharedData {
    fn epoch(&self) -> Result<u64, Unavailable> {
        self.0.ends_epoch().map_err(unavailable)
    }

    fn raise_epoch(&self, by: u32) -> Result<(), Unavailable> {
        self.0.raise_ends_epoch(by).map_err(unavailable)
    }

    fn read(&self, slot: Slot) -> Result<(Vec<u8>, SlotVersion), Unavailable> {
        let read = host::shared_data(&key(slot)).map_err(unavailable)?;
        Ok(read.map_or((Vec::new(), SlotVersion::Unwritten), |(value, version)| (value, SlotVersion::Written(version))))
    }

    fn write(&self, slot: Slot, value: &[u8]) -> Result<(), Unavailable> {
        host::set_shared_data(&key(slot), value, ANY_VERSION).map(drop).map_err(unavailable)
    }

    fn compare_and_swap(&self, slot: Slot, value: &[u8], expected: SlotVersion) -> Result<bool, Unavailable> {
        let version = match expected {
            SlotVersion::Unwritten => NO_VERSION,
            SlotVersion::Written(version) => version,
        };
        host::set_shared_data(&key(slot), value, version).map_err(unavailable)
    }
}
