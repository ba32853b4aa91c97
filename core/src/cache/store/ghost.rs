//! The ghost queue of S3-FIFO: fingerprints of entries evicted recently, so that one that is inserted again is protected.

/// A table of fingerprints, indexed by hash. A later fingerprint overwrites an earlier one.
pub struct Ghost(Vec<u32>);

impl Ghost {
    /// A table with this many places, a power of two.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self(vec![0; places])
    }

    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len().saturating_mul(size_of::<u32>())
    }

    fn place(&mut self, hash: u64) -> Option<&mut u32> {
        // The lower half of the hash is the index, the upper half the fingerprint.
        let mask = self.0.len().checked_sub(1)?;
        self.0.get_mut((hash as usize) & mask)
    }

    /// Records an eviction.
    pub fn remember(&mut self, hash: u64) {
        if let Some(place) = self.place(hash) {
            *place = fingerprint(hash);
        }
    }

    /// Whether the entry was evicted recently. Forgets it.
    pub fn recall(&mut self, hash: u64) -> bool {
        match self.place(hash) {
            Some(place) if *place == fingerprint(hash) => {
                *place = 0;
                true
            }
            _ => false,
        }
    }
}

/// Never 0, which marks an empty place.
fn fingerprint(hash: u64) -> u32 {
    let [_, _, _, _, upper @ ..] = hash.to_le_bytes();
    u32::from_le_bytes(upper).max(1)
}
