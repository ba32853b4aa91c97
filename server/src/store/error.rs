//! Why a store fails.

use thiserror::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StoreError {
    #[error("the session store does not answer; try again later")]
    Unavailable(Cause),
    #[error("the session store is full; try again later")]
    Full,
    #[error("the session would be too large: with this change it takes more than {0} bytes; it is unchanged")]
    TooLarge(usize),
    #[error("the session store holds data for this session that is no JSON object")]
    Corrupt,
    #[error("the operating system gave no randomness")]
    NoRandomness,
}

impl StoreError {
    /// The error in metrics, logs and `/readyz`.
    pub fn cause(self) -> &'static str {
        match self {
            Self::Unavailable(cause) => cause.as_str(),
            Self::Full => "storeFull",
            Self::TooLarge(_) => "sessionTooLarge",
            Self::Corrupt => "corruptSession",
            Self::NoRandomness => "noRandomness",
        }
    }
}

/// Why a store is unavailable. Part of metrics, logs and `/readyz`; the answers to calls do not show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Redis did not answer in time.
    Timeout,
    /// No connection could be opened, or it broke.
    Connection,
    /// Redis refused the user, the password or the certificate.
    Authentication,
    /// The user of Redis may not run a command that the service needs.
    Permission,
    /// The server is a replica, for example after a failover.
    ReadOnly,
    /// The server is loading its data.
    Loading,
    /// The server is a replica without its master.
    MasterDown,
    /// Redis cannot write its snapshots, and refuses writes until it can.
    Persistence,
    /// Redis has fewer replicas than it was told to require.
    NoReplicas,
    /// A script or a command blocks Redis.
    Busy,
    /// A part of the cluster is down, or a slot is being moved.
    Cluster,
    /// Redis is a cluster, and the store is configured as a single server.
    IsCluster,
    /// A key has another type than this service gives it.
    WrongType,
    /// The connection broke after the command was sent; it may have been executed.
    UnknownOutcome,
    /// Another error of Redis.
    Other,
}

impl Cause {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Authentication => "authentication",
            Self::Permission => "permission",
            Self::ReadOnly => "readOnly",
            Self::Loading => "loading",
            Self::MasterDown => "masterDown",
            Self::Persistence => "persistence",
            Self::NoReplicas => "noReplicas",
            Self::Busy => "busy",
            Self::Cluster => "cluster",
            Self::IsCluster => "isCluster",
            Self::WrongType => "wrongType",
            Self::UnknownOutcome => "unknownOutcome",
            Self::Other => "other",
        }
    }

    /// What an operator reads in `/readyz` and in the log.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Timeout => "Redis did not answer within --store-timeout",
            Self::Connection => "no connection to Redis could be opened, or it broke",
            Self::Authentication => "Redis refused the user, the password or the certificate",
            Self::Permission => "the user of Redis may not run a command that is needed; see the ACL in the README",
            Self::ReadOnly => "Redis is a read-only replica",
            Self::Loading => "Redis is loading its data",
            Self::MasterDown => "Redis is a replica without its master",
            Self::Persistence => "Redis cannot save its data, and refuses writes",
            Self::NoReplicas => "Redis has too few replicas, and refuses writes",
            Self::Busy => "a script or a command blocks Redis",
            Self::Cluster => "a part of the Redis Cluster is down, or a slot is being moved",
            Self::IsCluster => "Redis is a cluster; use redis+cluster:// in --store",
            Self::WrongType => "a key in Redis has another type than this service gives it",
            Self::UnknownOutcome => "the connection to Redis broke after a command was sent; it may have been executed",
            Self::Other => "Redis answered with an error",
        }
    }
}
