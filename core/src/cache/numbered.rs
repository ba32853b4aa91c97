//! Maps whose keys are numbers that spread well, or that nobody outside chooses: they need no hash.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub type Numbered<K, V> = HashMap<K, V, BuildHasherDefault<AsItIs>>;

/// Takes a number for its own hash.
#[derive(Default)]
pub struct AsItIs(u64);

impl Hasher for AsItIs {
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
