//! Envoy's memory over the time of the soak: flat once it is warm.

use std::time::Duration;

const MIB: u64 = 1 << 20;

/// What the allocator, the buffers of connections and V8's own heap vary by, and the 4,096 slots in which workers share
/// answers of some 200 bytes.
const VARIATION: u64 = 4 * MIB;
/// An invalidation writes its tag to one of 65,536 slots in Envoy's shared memory. One that was not written before takes
/// some hundred bytes, and keeps them.
const TAG_BYTES: u64 = 256;
const TAGS: u64 = 65_536;
/// A VM gives no memory back, so one burst that is larger than all before it shows.
const VM_VARIATION: u64 = MIB;

/// Figures at one time.
#[derive(Clone, Copy)]
pub struct Sample {
    pub after: Duration,
    /// Envoy's memory.
    pub resident: u64,
    /// The memory of its VMs, which is a part of that.
    pub vms: u64,
    /// `ends_total`.
    pub invalidations: u64,
}

#[derive(Default)]
pub struct Memory(Vec<Sample>);

impl Memory {
    pub fn add(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    /// Compares the time after the first third with the end. What leaks for each request, lookup or
    /// connection is more than the bounds: at 5,000 requests a second, 100 bytes for each are 20 MiB after 40 s.
    #[track_caller]
    pub fn assert_flat(&self) {
        let parts = self.0.len() / 6;
        assert!(parts > 0, "the soak was too short to compare its memory");
        let (warm, end) = (&self.0[2 * parts..3 * parts], &self.0[5 * parts..]);
        let grown = |of: fn(&Sample) -> u64| median(end, of).saturating_sub(median(warm, of));
        let tags = grown(|sample| sample.invalidations).min(TAGS);
        let (resident, vms) = (grown(|sample| sample.resident), grown(|sample| sample.vms));
        let most = VARIATION + tags * TAG_BYTES;
        println!(
            "grown after the first third: Envoy by {resident} bytes, of which VMs {vms}, with {tags} invalidations"
        );
        assert!(resident <= most, "Envoy's memory has grown by {resident} bytes, and may by {most}");
        assert!(vms <= VM_VARIATION, "the memory of the VMs has grown by {vms} bytes, and may by {VM_VARIATION}");
    }

    pub fn print(&self) {
        let step = self.0.len().div_ceil(20).max(1);
        for sample in self.0.iter().step_by(step).chain(self.0.last()) {
            let (resident, vms) = (sample.resident >> 10, sample.vms >> 10);
            println!("after {:>5} s: {resident:>8} KiB, of which VMs {vms:>7} KiB", sample.after.as_secs());
        }
    }
}

fn median(samples: &[Sample], of: fn(&Sample) -> u64) -> u64 {
    let mut values: Vec<u64> = samples.iter().map(of).collect();
    values.sort_unstable();
    values[values.len() / 2]
}
