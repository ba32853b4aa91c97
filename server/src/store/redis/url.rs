//! The address of Redis, as the options give it.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use thiserror::Error;
use url::Host;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The address of Redis. `Display` and `Debug` leave out user and password.
#[derive(Clone)]
pub struct RedisUrl {
    pub(super) topology: Topology,
    pub(super) tls: bool,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
}

#[derive(Clone)]
pub(super) enum Topology {
    Server(Node),
    Unix(PathBuf),
    Sentinel { nodes: Vec<Node>, master: String },
    Cluster(Vec<Node>),
}

/// The address of one process.
#[derive(Clone)]
pub(super) struct Node {
    pub host: String,
    pub port: u16,
}

/// No message contains a part of the URL, which may be a password.
#[derive(Debug, Error)]
pub enum RedisUrlError {
    #[error(
        "its scheme is none of redis, rediss, valkey, valkeys, unix, redis+unix, redis+sentinel, rediss+sentinel, \
         redis+cluster, rediss+cluster"
    )]
    Scheme,
    #[error("it is not a URL of the form {0}")]
    Form(&'static str),
    #[error("it has a {0}, which has no meaning there")]
    Unknown(&'static str),
}

const SERVER: &str = "redis://[user:password@]host[:port][/database]";
const UNIX: &str = "unix:///path/to/socket";
const SENTINEL: &str = "redis+sentinel://[user:password@]host[:port],host[:port]…/master[/database]";
const CLUSTER: &str = "redis+cluster://[user:password@]host[:port],host[:port]…";

impl RedisUrl {
    pub fn parse(url: &str) -> Result<Self, RedisUrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(RedisUrlError::Scheme)?;
        if rest.contains('#') {
            return Err(RedisUrlError::Unknown("fragment"));
        }
        if rest.contains('?') {
            return Err(RedisUrlError::Unknown("query"));
        }
        let (kind, tls) = match scheme {
            "redis" | "valkey" => (SERVER, false),
            "rediss" | "valkeys" => (SERVER, true),
            "unix" | "redis+unix" => (UNIX, false),
            "redis+sentinel" | "valkey+sentinel" => (SENTINEL, false),
            "rediss+sentinel" | "valkeys+sentinel" => (SENTINEL, true),
            "redis+cluster" | "valkey+cluster" => (CLUSTER, false),
            "rediss+cluster" | "valkeys+cluster" => (CLUSTER, true),
            _ => return Err(RedisUrlError::Scheme),
        };
        let form = RedisUrlError::Form(kind);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // A slash in a password that is not encoded: the rest of the password would be shown as a path.
        if path.contains('@') {
            return Err(form);
        }
        let (username, password, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => {
                let (username, password) = user.split_once(':').unwrap_or((user, ""));
                let [Some(username), Some(password)] = [username, password].map(decode) else { return Err(form) };
                (username, password, hosts)
            }
            None => (String::new(), String::new(), authority),
        };
        let (topology, database) = match kind {
            UNIX if hosts.is_empty() && !path.is_empty() => {
                let Some(path) = decode(path) else { return Err(form) };
                (Some(Topology::Unix(PathBuf::from(format!("/{path}")))), Some(0))
            }
            UNIX => (None, None),
            SENTINEL => {
                let (master, database) = path.split_once('/').unwrap_or((path, ""));
                let master = decode(master).filter(|master| !master.is_empty());
                let nodes = parse_nodes(hosts, SENTINEL_PORT);
                (
                    nodes.zip(master).map(|(nodes, master)| Topology::Sentinel { nodes, master }),
                    parse_database(database),
                )
            }
            CLUSTER if !path.is_empty() => return Err(RedisUrlError::Unknown("database")),
            CLUSTER => (parse_nodes(hosts, REDIS_PORT).map(Topology::Cluster), Some(0)),
            _ => (parse_node(hosts, REDIS_PORT).map(Topology::Server), parse_database(path)),
        };
        let (Some(topology), Some(database)) = (topology, database) else { return Err(form) };
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        Ok(Self { topology, tls, username: given(username), password: given(password), database })
    }
}

fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

fn parse_database(path: &str) -> Option<i64> {
    if path.is_empty() { Some(0) } else { path.parse::<u16>().ok().map(i64::from) }
}

fn parse_nodes(hosts: &str, default_port: u16) -> Option<Vec<Node>> {
    hosts.split(',').map(|host| parse_node(host, default_port)).collect()
}

fn parse_node(text: &str, default_port: u16) -> Option<Node> {
    let (host, port) = match text.rsplit_once(':') {
        // The colon is within the brackets of an IPv6 address.
        Some((_, rest)) if rest.ends_with(']') => (text, default_port),
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, default_port),
    };
    let host = match Host::parse(host).ok()? {
        Host::Domain(name) if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) => name,
        Host::Domain(_) => return None,
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    Some(Node { host, port })
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let list = |nodes: &[Node]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        match &self.topology {
            Topology::Server(node) => write!(f, "{scheme}://{node}/{}", self.database),
            Topology::Unix(path) => write!(f, "unix://{}", path.display()),
            Topology::Sentinel { nodes, master } => {
                write!(f, "{scheme}+sentinel://{}/{master}/{}", list(nodes), self.database)
            }
            Topology::Cluster(nodes) => write!(f, "{scheme}+cluster://{}", list(nodes)),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_shown_without_user_and_password() {
        for (url, shown) in [
            ("redis://h", "redis://h:6379/0"),
            ("redis://user:p%40ss@h:7000/3", "redis://h:7000/3"),
            ("rediss://:secret@[::1]:7000", "rediss://[::1]:7000/0"),
            ("valkey://[::1]", "redis://[::1]:6379/0"),
            ("valkeys://h", "rediss://h:6379/0"),
            ("unix:///run/redis%20a.sock", "unix:///run/redis a.sock"),
            ("redis+sentinel://u:p@a,b:1,[::1]:2/main/4", "redis+sentinel://a:26379,b:1,[::1]:2/main/4"),
            ("redis+sentinel://a/main", "redis+sentinel://a:26379/main/0"),
            ("rediss+cluster://:p@a,b:1,c", "rediss+cluster://a:6379,b:1,c:6379"),
        ] {
            assert_eq!(RedisUrl::parse(url).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn user_and_password_are_decoded() {
        let url = RedisUrl::parse("redis://us%3Aer:p%40s:s@h").unwrap();
        assert_eq!((url.username.as_deref(), url.password.as_deref()), (Some("us:er"), Some("p@s:s")));
        let url = RedisUrl::parse("redis://:secret@h").unwrap();
        assert_eq!((url.username, url.password.as_deref()), (None, Some("secret")));
    }

    #[test]
    fn a_part_that_has_no_meaning_is_refused() {
        for url in [
            "redis://h/0?db=1",
            "redis://h/0#a",
            "redis://h/zero",
            "redis://h/0/1",
            "redis://h/-1",
            "redis://h:port",
            "redis://",
            "redis://a,b",
            "redis+cluster://a/1",
            "redis+cluster://a,,b",
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis+sentinel://a/main/0/1",
            "redis+sentinel://a/main/x",
            "unix://host/path",
            "unix://",
            "http://h",
            "redis:h",
            "redis://u:secret@h/%zz",
            "redis+sentinel://u:12/secret@h",
            "redis+sentinel://u:12/secret@h/main",
            "unix:///u:secret@h",
        ] {
            let error = RedisUrl::parse(url).map(|found| found.to_string()).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
