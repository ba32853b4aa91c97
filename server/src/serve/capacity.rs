//! How many connections the limit of open files leaves room for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that connections of --listen must leave: Redis, --admin-listen, signals, certificates.
const RESERVED: usize = 48 + Capacity::ADMIN.connections + Capacity::ADMIN.refusals;

/// Connections that are answered 503 at the same time; further ones are closed unanswered.
const MAX_REFUSALS: usize = 64;

/// How many connections are served at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    pub connections: usize,
    /// Beyond `connections`, to be answered 503.
    pub refusals: usize,
}

impl Capacity {
    /// That of --admin-listen.
    pub const ADMIN: Self = Self { connections: 28, refusals: 4 };

    /// At most `wanted` connections, and fewer if `limit` is too low for them.
    pub fn within(limit: Option<u64>, wanted: usize) -> Self {
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let refusals = (limit / 16).clamp(1, MAX_REFUSALS);
        let connections = limit.saturating_sub(RESERVED).saturating_sub(refusals).clamp(1, wanted.max(1));
        Self { connections, refusals }
    }
}

/// Raises the soft limit of open files to the hard one, and returns what holds then; `None` is no limit.
pub fn raise_open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            current
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_everything_else() {
        for (limit, wanted, connections) in [
            (None, 4096, 4096),
            (Some(1_048_576), 4096, 4096),
            (Some(1024), 4096, 1024 - RESERVED - 64),
            (Some(1024), 100, 100),
            (Some(256), 4096, 256 - RESERVED - 16),
            (Some(10), 4096, 1),
            (Some(0), 1, 1),
        ] {
            let capacity = Capacity::within(limit, wanted);
            assert_eq!(capacity.connections, connections, "{limit:?}");
            assert!((1..=MAX_REFUSALS).contains(&capacity.refusals));
        }
    }
}
