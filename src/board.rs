//! The board of the workers of one Envoy: shared data, and a gauge beside it.

use std::rc::Rc;

use crate::host;
use crate::metrics::Metrics;
use rest_sessions_core::cache::board::{Board, OwnBoard, Slot, Unavailable, Version};

/// Where this worker's ends and answers go.
pub enum WorkerBoard {
    Shared(SharedBoard),
    /// `cache.shared: false`
    Own(OwnBoard),
}

/// What all workers see.
pub struct SharedBoard(pub Rc<Metrics>);

/// No version that the host gives: it counts them from 1. Where a slot was never written the host takes any version,
/// and where another worker has just written it, not this one.
const NO_VERSION: u32 = u32::MAX;

/// Writes whatever stands there.
const ANY_VERSION: u32 = 0;

/// The name of a slot. Other plugins may use the same shared data, and other versions of this one too.
fn name(slot: Slot) -> [u8; 20] {
    const PREFIX: &[u8; 15] = b"rest_sessions.1";
    let (kind, number) = match slot {
        Slot::HashKey => (b'k', 0),
        Slot::Mark(number) => (b'm', number),
        Slot::Page(number) => (b'p', number),
    };
    let [low, high] = number.to_le_bytes();
    let mut name = [b'.'; 20];
    let end = [b'.', kind, low, high];
    for (to, from) in name.iter_mut().zip(PREFIX.iter().chain(&end)) {
        *to = *from;
    }
    name
}

fn unavailable(refused: host::Refused) -> Unavailable {
    log::debug!("event=shared_data_refused status={refused:?}");
    Unavailable
}

impl Board for SharedBoard {
    fn epoch(&self) -> Result<u64, Unavailable> {
        self.0.ends_epoch().map_err(unavailable)
    }

    fn raise_epoch(&self, by: u32) -> Result<(), Unavailable> {
        self.0.raise_ends_epoch(by).map_err(unavailable)
    }

    fn read(&self, slot: Slot) -> Result<(Vec<u8>, Version), Unavailable> {
        let read = host::shared_data(&name(slot)).map_err(unavailable)?;
        Ok(read.map_or((Vec::new(), Version::Blank), |(value, version)| (value, Version::Written(version))))
    }

    fn write(&self, slot: Slot, value: &[u8]) -> Result<(), Unavailable> {
        host::set_shared_data(&name(slot), value, ANY_VERSION).map(drop).map_err(unavailable)
    }

    fn replace(&self, slot: Slot, value: &[u8], read: Version) -> Result<bool, Unavailable> {
        let version = match read {
            Version::Blank => NO_VERSION,
            Version::Written(version) => version,
        };
        host::set_shared_data(&name(slot), value, version).map_err(unavailable)
    }
}

impl Board for WorkerBoard {
    fn epoch(&self) -> Result<u64, Unavailable> {
        match self {
            Self::Shared(board) => board.epoch(),
            Self::Own(board) => board.epoch(),
        }
    }

    fn raise_epoch(&self, by: u32) -> Result<(), Unavailable> {
        match self {
            Self::Shared(board) => board.raise_epoch(by),
            Self::Own(board) => board.raise_epoch(by),
        }
    }

    fn read(&self, slot: Slot) -> Result<(Vec<u8>, Version), Unavailable> {
        match self {
            Self::Shared(board) => board.read(slot),
            Self::Own(board) => board.read(slot),
        }
    }

    fn write(&self, slot: Slot, value: &[u8]) -> Result<(), Unavailable> {
        match self {
            Self::Shared(board) => board.write(slot, value),
            Self::Own(board) => board.write(slot, value),
        }
    }

    fn replace(&self, slot: Slot, value: &[u8], read: Version) -> Result<bool, Unavailable> {
        match self {
            Self::Shared(board) => board.replace(slot, value, read),
            Self::Own(board) => board.replace(slot, value, read),
        }
    }
}
