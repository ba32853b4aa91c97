//! Real Redis for a test: a server of either version, its replicas, Sentinels, a cluster.

mod cluster;
mod sentinels;
mod server;
mod version;

pub use self::cluster::RedisCluster;
pub use self::sentinels::Sentinels;
pub use self::server::RedisServer;
pub use self::version::RedisVersion;
