//! Random bytes, as events of two workers.

use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_must_always_hold_holds_for_any_order_of_events(bytes in vec(any::<u8>(), 0..1_500)) {
        worker_events::run(&bytes);
    }
}
