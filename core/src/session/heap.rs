//! What values take on the heap: the limits of bytes count it.

/// What an allocator adds to each allocation, in bytes.
const ALLOCATION: usize = 8;

/// The strong and the weak count of an [`std::rc::Rc`], in bytes.
const COUNTS: usize = 2 * size_of::<usize>();

/// The heap that an `Rc` of a value of `size` bytes takes, in bytes.
pub(crate) const fn of_rc(size: usize) -> usize {
    ALLOCATION.saturating_add(COUNTS).saturating_add(size)
}

/// The heap that a `Box` of a value of `size` bytes takes, in bytes. A box of nothing allocates nothing.
pub(crate) const fn of_box(size: usize) -> usize {
    if size == 0 { 0 } else { ALLOCATION.saturating_add(size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rc_has_two_counts_and_an_empty_box_takes_nothing() {
        assert_eq!(of_rc(64) - of_box(64), 2 * size_of::<usize>());
        assert_eq!(of_box(0), 0);
    }
}
