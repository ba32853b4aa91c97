//! The Lua scripts: their texts, and how one is run.

use redis::{ErrorKind, FromRedisValue, RedisResult, RedisWrite, ServerErrorKind, ToRedisArgs, cmd};

use super::connection::Connection;

/// A script with the hash by which Redis knows it.
pub struct Script {
    code: &'static str,
    hash: String,
}

/// All scripts.
pub struct Scripts {
    pub create: Script,
    pub get: Script,
    pub set: Script,
    pub renew: Script,
    pub kill: Script,
    pub kill_many: Script,
    pub read_many: Script,
    pub ready: Script,
}

/// The text of a script: files in scripts/, one after the other. `make lint` checks the same sequences.
macro_rules! lua {
    ($($file:literal),+) => {
        Script::new(concat!($(include_str!(concat!("scripts/", $file, ".lua"))),+))
    };
}

impl Scripts {
    pub fn new() -> Self {
        Self {
            create: lua!("seconds", "net", "add", "create"),
            get: lua!("seconds", "live", "net", "touch", "get", "remove", "end_idle"),
            set: lua!("seconds", "live", "net", "touch", "set"),
            renew: lua!("seconds", "live", "net", "add", "remove", "renew"),
            kill: lua!("seconds", "live", "remove", "kill"),
            kill_many: lua!("remove", "kill_many"),
            read_many: lua!("read_many"),
            ready: lua!("ready"),
        }
    }
}

/// An argument of a script.
#[derive(Clone, Copy)]
pub enum Arg<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    Number(i64),
    Absent,
}

impl ToRedisArgs for Arg<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        match self {
            Self::Text(text) => text.write_redis_args(out),
            Self::Bytes(bytes) => bytes.write_redis_args(out),
            Self::Number(number) => number.write_redis_args(out),
            Self::Absent => "".write_redis_args(out),
        }
    }
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }

    /// Runs the script on the node of its first key. A Redis that does not know it gets its text, which does not need
    /// the permission to run SCRIPT and goes to that node alone.
    pub async fn run<T: FromRedisValue>(
        &self,
        connection: &mut Connection,
        keys: &[String],
        args: &[Arg<'_>],
    ) -> RedisResult<T> {
        match self.call("EVALSHA", &self.hash, connection, keys, args).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.call("EVAL", self.code, connection, keys, args).await
            }
            result => result,
        }
    }

    async fn call<T: FromRedisValue>(
        &self,
        name: &str,
        script: &str,
        connection: &mut Connection,
        keys: &[String],
        args: &[Arg<'_>],
    ) -> RedisResult<T> {
        cmd(name).arg(script).arg(keys.len()).arg(keys).arg(args).query_async(connection).await
    }
}
