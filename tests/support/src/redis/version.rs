//! The versions of Redis that tests run over.

use std::path::PathBuf;

use crate::process::{program_from, program_or_skip};

/// A version of Redis. They differ in what scripts may do while writes are refused, and in how errors are nested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisVersion {
    /// `REDIS_SERVER_BIN`: 6.2 of the wheel that `make test` installs, or the machine's own.
    V6_2,
    /// `REDIS7_SERVER_BIN`: 7.0 or later, as Debian packages it. Not every machine can have it.
    V7_0,
}

impl RedisVersion {
    /// Runs a test over this version; skips it, visibly, without a program.
    pub fn run(self, test: &str, body: impl FnOnce(Self)) {
        if self == Self::V6_2 || program_or_skip("REDIS7_SERVER_BIN", test).is_some() {
            body(self);
        }
    }

    /// Options with which a server of this version accepts the command DEBUG.
    pub fn debug_options(self) -> &'static [&'static str] {
        match self {
            Self::V6_2 => &[],
            Self::V7_0 => &["--enable-debug-command", "yes"],
        }
    }

    pub(super) fn program(self) -> PathBuf {
        match self {
            Self::V6_2 => program_from("REDIS_SERVER_BIN"),
            Self::V7_0 => program_from("REDIS7_SERVER_BIN"),
        }
    }
}

/// Makes two tests of each function that takes a [`RedisVersion`]: over 6.2, and over 7.0.
#[macro_export]
macro_rules! over_redis_versions {
    ($($(#[$attribute:meta])* $name:ident)*) => {
        mod redis_6_2 {
            $(#[test] $(#[$attribute])* fn $name() {
                $crate::redis::RedisVersion::V6_2.run(stringify!($name), super::$name);
            })*
        }
        mod redis_7_0 {
            $(#[test] $(#[$attribute])* fn $name() {
                $crate::redis::RedisVersion::V7_0.run(stringify!($name), super::$name);
            })*
        }
    };
}
