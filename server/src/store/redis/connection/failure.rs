//! What an error of Redis means: its cause, and what can be done.

use redis::{ErrorKind, RedisError};

use crate::store::{Cause, StoreError};

/// What may help after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// No retry helps: return the error.
    None,
    /// The server refused the command, which had no effect. The same connection may work in a moment.
    Wait,
    /// The server refused the command, which had no effect. Another server may take it: a new connection, then again.
    Reconnect,
    /// The connection is broken, and the command may have been executed: a new connection, and again with care.
    Replace,
}

/// An error, classified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    pub error: StoreError,
    pub remedy: Remedy,
}

impl Failure {
    fn unavailable(cause: Cause, remedy: Remedy) -> Self {
        Self { error: StoreError::Unavailable(cause), remedy }
    }

    /// Classifies the error of a command. In a cluster, the client keeps the connections to the nodes by itself.
    pub fn of(error: &RedisError, in_cluster: bool) -> Self {
        let moved = if in_cluster {
            Self::unavailable(Cause::Cluster, Remedy::Wait)
        } else {
            Self::unavailable(Cause::IsCluster, Remedy::None)
        };
        let refused = if in_cluster { Remedy::Wait } else { Remedy::Reconnect };
        match error.kind() {
            ErrorKind::AuthenticationFailed => return Self::unavailable(Cause::Authentication, Remedy::Reconnect),
            ErrorKind::ClusterConnectionNotFound => return Self::unavailable(Cause::Connection, Remedy::Wait),
            ErrorKind::Io | ErrorKind::Parse => return Self::unavailable(Cause::Connection, Remedy::Replace),
            ErrorKind::UnexpectedReturnType | ErrorKind::Client | ErrorKind::InvalidClientConfig => {
                return Self::unavailable(Cause::Other, Remedy::None);
            }
            _ => {}
        }
        // Redis 6.2 hides the code of an error in a script: `ERR Error running script (…): @user_script:3: -READONLY …`.
        let text = format!("{} {error}", error.code().unwrap_or_default());
        for word in text.split(|c: char| !c.is_ascii_alphabetic()) {
            return match word {
                "READONLY" => Self::unavailable(Cause::ReadOnly, refused),
                "LOADING" => Self::unavailable(Cause::Loading, refused),
                "MASTERDOWN" => Self::unavailable(Cause::MasterDown, refused),
                "CLUSTERDOWN" => Self::unavailable(Cause::Cluster, refused),
                "OOM" => Self { error: StoreError::Full, remedy: Remedy::None },
                "MISCONF" => Self::unavailable(Cause::Persistence, Remedy::None),
                "NOREPLICAS" => Self::unavailable(Cause::NoReplicas, Remedy::None),
                "BUSY" => Self::unavailable(Cause::Busy, Remedy::None),
                "NOAUTH" | "WRONGPASS" => Self::unavailable(Cause::Authentication, Remedy::Reconnect),
                "NOPERM" => Self::unavailable(Cause::Permission, Remedy::None),
                "WRONGTYPE" => Self::unavailable(Cause::WrongType, Remedy::None),
                "MOVED" | "ASK" | "TRYAGAIN" | "CROSSSLOT" => moved,
                _ => continue,
            };
        }
        if text.contains("non local key") || text.contains("do not hash to the same slot") {
            return moved;
        }
        Self::unavailable(Cause::Other, Remedy::None)
    }
}

/// Whether Redis answers reads and refuses writes.
pub fn refuses_writes(error: StoreError) -> bool {
    use Cause::{NoReplicas, Persistence, ReadOnly};
    matches!(error, StoreError::Full | StoreError::Unavailable(ReadOnly | Persistence | NoReplicas))
}

/// The text of a network error; only the code of an error reply, whose text may quote the command.
pub fn describe(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("redis refused the command: {code}"),
        None if error.is_io_error() => error.to_string(),
        None => error.category().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use redis::{Value, parse_redis_value};

    use super::*;

    fn failure(reply: &str, in_cluster: bool) -> Failure {
        let value = match parse_redis_value(format!("-{reply}\r\n").as_bytes()).unwrap() {
            Value::ServerError(error) => RedisError::from(error),
            other => panic!("{other:?}"),
        };
        Failure::of(&value, in_cluster)
    }

    fn cause(reply: &str) -> (StoreError, Remedy) {
        let Failure { error, remedy } = failure(reply, false);
        (error, remedy)
    }

    #[test]
    fn the_code_is_found_where_each_version_puts_it() {
        let read_only = (StoreError::Unavailable(Cause::ReadOnly), Remedy::Reconnect);
        for reply in [
            "READONLY You can't write against a read only replica.",
            "READONLY You can't write against a read only replica. script: 3b, on @user_script:5.",
            "ERR Error running script (call to f_3b): @user_script:12: @user_script: 12: -READONLY You can't write",
            "EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.",
        ] {
            assert_eq!(cause(reply), read_only, "{reply}");
        }
        for (reply, expected) in [
            ("LOADING Redis is loading the dataset in memory", Cause::Loading),
            ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", Cause::MasterDown),
            ("CLUSTERDOWN The cluster is down", Cause::Cluster),
            ("NOAUTH Authentication required.", Cause::Authentication),
        ] {
            assert_eq!(cause(reply), (StoreError::Unavailable(expected), Remedy::Reconnect), "{reply}");
        }
    }

    #[test]
    fn an_error_that_a_new_connection_does_not_cure_is_told() {
        let oom = "ERR Error running script (call to f_1): @user_script:3: -OOM command not allowed when used memory >";
        assert_eq!(cause(oom), (StoreError::Full, Remedy::None));
        for (reply, expected) in [
            ("MISCONF Redis is configured to save RDB snapshots", Cause::Persistence),
            ("NOREPLICAS Not enough good replicas to write.", Cause::NoReplicas),
            ("BUSY Redis is busy running a script.", Cause::Busy),
            ("NOPERM this user has no permissions to run the 'zadd' command", Cause::Permission),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", Cause::WrongType),
            ("CROSSSLOT Keys in request don't hash to the same slot", Cause::IsCluster),
            ("MOVED 3999 127.0.0.1:6381", Cause::IsCluster),
            ("ERR unknown command", Cause::Other),
        ] {
            assert_eq!(cause(reply), (StoreError::Unavailable(expected), Remedy::None), "{reply}");
        }
    }

    #[test]
    fn in_a_cluster_a_slot_that_moves_and_a_failover_are_waited_for() {
        for (reply, expected) in [
            ("MOVED 3999 127.0.0.1:6381", Cause::Cluster),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Cause::Cluster),
            ("ERR Error running script: Script attempted to access a non local key in a cluster node", Cause::Cluster),
            ("CLUSTERDOWN The cluster is down", Cause::Cluster),
            ("READONLY You can't write against a read only replica.", Cause::ReadOnly),
        ] {
            let Failure { error, remedy } = failure(reply, true);
            assert_eq!((error, remedy), (StoreError::Unavailable(expected), Remedy::Wait), "{reply}");
        }
    }
}
