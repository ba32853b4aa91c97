//! The tokio runtime of the upstream and the HTTP/2 client; tests are synchronous.

use std::future::Future;
use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};

use test_support::wait::PATIENCE;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("the runtime starts"));

/// Runs `work` in the background for as long as the process lives.
pub fn spawn(work: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    RUNTIME.spawn(work)
}

/// Waits for `work`, and panics with `what` if it takes too long.
#[track_caller]
pub fn wait_for<T>(what: &str, work: impl Future<Output = T>) -> T {
    RUNTIME
        .block_on(async { tokio::time::timeout(PATIENCE, work).await })
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} without success: {what}"))
}
