//! Three Sentinels that watch a master with two replicas.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use super::server::{launch, query, start_on_a_free_port};
use super::{RedisServer, RedisVersion};
use crate::ports;
use crate::process::Process;
use crate::wait;

/// The name by which the Sentinels know their master.
const MASTER: &str = "master";

/// A master, two replicas and three Sentinels, which promote a replica half a second after the master is gone.
pub struct Sentinels {
    sentinels: Vec<Sentinel>,
    servers: Vec<RedisServer>,
}

struct Sentinel {
    address: SocketAddr,
    _process: Process,
    /// Has the configuration, which a Sentinel rewrites.
    _folder: TempDir,
}

impl Sentinels {
    pub fn start(version: RedisVersion) -> Self {
        let master = RedisServer::start_version(version, &[]);
        let replicas = [RedisServer::start_replica_of(&master), RedisServer::start_replica_of(&master)];
        let sentinels: Vec<_> = (0..3).map(|_| Sentinel::start(version, master.address())).collect();
        for sentinel in &sentinels {
            wait::until_true("the Sentinels to know each other and the replicas", || {
                sentinel.knows("num-other-sentinels", "2") && sentinel.knows("num-slaves", "2")
            });
        }
        Self { sentinels, servers: [master].into_iter().chain(replicas).collect() }
    }

    /// `redis+sentinel://` with the three addresses, the master's name and database 0.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.sentinels.iter().map(|sentinel| sentinel.address.to_string()).collect();
        format!("redis+sentinel://{}/{MASTER}/0", addresses.join(","))
    }

    /// The master and the replicas.
    pub fn servers(&self) -> impl Iterator<Item = &RedisServer> {
        self.servers.iter()
    }

    /// The server that all Sentinels say is the master, and that says so itself.
    #[track_caller]
    pub fn master(&self) -> &RedisServer {
        wait::until("the Sentinels to agree about the master", || self.agreed_master())
    }

    fn agreed_master(&self) -> Option<&RedisServer> {
        let named: Vec<_> = self.sentinels.iter().filter_map(Sentinel::named_master).collect();
        let server = self.servers.iter().find(|server| named.iter().all(|named| *named == server.address()))?;
        // A promotion closes the connections of clients.
        let role: redis::RedisResult<Vec<redis::Value>> = server.try_query(&["ROLE"]);
        let is_master = role.is_ok_and(|role| role.first() == Some(&redis::Value::BulkString(b"master".to_vec())));
        (named.len() == self.sentinels.len() && is_master).then_some(server)
    }

    /// Waits until the replicas have what the master holds now.
    #[track_caller]
    pub fn wait_for_sync(&self) {
        let master = self.master();
        for replica in self.servers.iter().filter(|server| server.address() != master.address()) {
            replica.wait_for_sync(master);
        }
    }

    /// Kills the master, and returns its place in the list of servers, for [`Self::restart`].
    pub fn kill_master(&mut self) -> usize {
        let address = self.master().address();
        let index = self.servers.iter().position(|server| server.address() == address).expect("the master is a server");
        self.servers[index].stop();
        index
    }

    /// Starts a killed server again, empty. It says that it is a master until the Sentinels make it a replica, some 20
    /// seconds later.
    #[track_caller]
    pub fn restart(&mut self, index: usize) -> &RedisServer {
        self.servers[index].restart();
        &self.servers[index]
    }
}

impl Sentinel {
    fn start(version: RedisVersion, master: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (address, process) = start_on_a_free_port(ports::non_ephemeral, |address| {
            let file = folder.path().join("sentinel.conf");
            let config = format!(
                "port {port}\nbind 127.0.0.1\nprotected-mode no\ndir {folder}\n\
                 sentinel monitor {MASTER} {ip} {master_port} 2\n\
                 sentinel down-after-milliseconds {MASTER} 500\n\
                 sentinel failover-timeout {MASTER} 3000\n\
                 sentinel parallel-syncs {MASTER} 2\n",
                port = address.port(),
                folder = folder.path().display(),
                ip = master.ip(),
                master_port = master.port(),
            );
            fs::write(&file, config).expect("the temporary folder can be written");
            let mut command = Command::new(version.program());
            command.arg(&file).arg("--sentinel");
            launch(command, address)
        });
        Self { address, _process: process, _folder: folder }
    }

    fn knows(&self, field: &str, value: &str) -> bool {
        let fields: Vec<String> = query(self.address, &["SENTINEL", "MASTER", MASTER]).unwrap_or_default();
        fields.chunks(2).any(|pair| pair == [field, value])
    }

    fn named_master(&self) -> Option<SocketAddr> {
        let named = query(self.address, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]);
        let (ip, port): (String, u16) = named.ok()?;
        Some(SocketAddr::new(ip.parse().ok()?, port))
    }
}
