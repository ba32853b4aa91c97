//! Remembers which entries went lately, by a part of their hash: one that comes back is no passer-by.

/// One place for each hash; a later one takes the place of an earlier one.
pub struct Ghost(Vec<u32>);

impl Ghost {
    /// With so many places, a power of two.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self(vec![0; places])
    }

    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len().saturating_mul(size_of::<u32>())
    }

    fn place(&mut self, hash: u64) -> Option<&mut u32> {
        // The upper half is the fingerprint, the lower half the place.
        let mask = self.0.len().checked_sub(1)?;
        self.0.get_mut((hash as usize) & mask)
    }

    pub fn remember(&mut self, hash: u64) {
        if let Some(place) = self.place(hash) {
            *place = fingerprint(hash);
        }
    }

    /// Whether the entry went lately; asked once.
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

/// Never zero, which stands for nothing.
fn fingerprint(hash: u64) -> u32 {
    let [_, _, _, _, upper @ ..] = hash.to_le_bytes();
    u32::from_le_bytes(upper).max(1)
}
