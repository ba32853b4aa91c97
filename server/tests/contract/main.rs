//! The wire contract: requests, and responses byte for byte, the same over both stores.

/// Makes two tests of each function: over memory, and over a Redis of its own.
macro_rules! over_both_stores {
    ($($name:ident)*) => {
        mod over_memory {
            $(#[tokio::test] async fn $name() { super::$name(crate::support::Service::memory()).await })*
        }
        mod over_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() {
                let server = test_support::redis::RedisServer::start();
                super::$name(crate::support::Service::redis(&server)).await
            })*
        }
    };
}

mod concurrency;
mod memory;
mod reads;
mod renewals;
mod requests;
mod sessions;
mod size;
#[path = "../support/mod.rs"]
mod support;
mod users;

const NO_TOKEN: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
