//! Hash maps whose keys are numbers that no client chooses: the number is its own hash.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map holds room for up to so many times its entries: it doubles when it is 7/8 full, and copies itself to do so.
pub const MAP_SLACK: usize = 3;

pub type IntMap<K, V> = HashMap<K, V, BuildHasherDefault<IdentityHasher>>;

/// Returns the number that was written last, unchanged.
#[derive(Default)]
pub struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = number.into();
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
