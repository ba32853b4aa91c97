//! A Redis Cluster of three masters and three replicas.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use redis::{Cmd, Connection, FromRedisValue};

use super::{RedisServer, RedisVersion};
use crate::ports;
use crate::wait;

const MASTERS: u16 = 3;
const SLOTS: u16 = 16_384;

/// Six nodes. At the start, the first three are masters with a third of the slots each, and the fourth to sixth are
/// their replicas in the same order. A replica takes over within some seconds of its master's end.
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    ids: Vec<String>,
}

/// What one node says about another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Peer {
    id: String,
    is_master: bool,
    /// Of a replica.
    master: String,
    fails: bool,
    /// The first and the last slot of each range.
    slots: Vec<(u16, u16)>,
}

impl RedisCluster {
    pub fn start(version: RedisVersion) -> Self {
        let options =
            ["--cluster-enabled", "yes", "--cluster-node-timeout", "2500", "--cluster-announce-ip", "127.0.0.1"];
        let nodes: Vec<_> =
            (0..MASTERS * 2).map(|_| RedisServer::start_on(ports::with_cluster_bus, version, &options)).collect();
        let ids = nodes.iter().map(|node| node.query(&["CLUSTER", "MYID"])).collect();
        let cluster = Self { nodes, ids };
        for (node, epoch) in cluster.nodes.iter().zip(1..) {
            node.query::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &format!("{epoch}")]);
        }
        for (index, node) in cluster.nodes.iter().enumerate() {
            for other in &cluster.nodes[index + 1..] {
                let port = other.address().port().to_string();
                node.query::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port]);
            }
        }
        let share = SLOTS.div_ceil(MASTERS);
        for (master, first) in cluster.nodes.iter().zip((0..SLOTS).step_by(share.into())) {
            let slots: Vec<_> = (first..SLOTS.min(first + share)).map(|slot| slot.to_string()).collect();
            let words: Vec<_> = ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str)).collect();
            master.query::<()>(&words);
        }
        wait::until_true("the nodes to meet", || {
            // While they do, a node lists another by an id that it made up.
            let knows = |node: &RedisServer, id: &String| peers(node).iter().any(|peer| peer.id == *id);
            cluster.nodes.iter().all(|node| cluster.ids.iter().all(|id| knows(node, id)))
        });
        for (master, replica) in (0..usize::from(MASTERS)).zip(usize::from(MASTERS)..) {
            cluster.nodes[replica].query::<()>(&["CLUSTER", "REPLICATE", &cluster.ids[master]]);
        }
        cluster.wait_until_whole();
        for replica in &cluster.nodes[usize::from(MASTERS)..] {
            wait::until_true("the replicas to follow", || replica.info("master_link_status") == "up");
        }
        cluster
    }

    /// `redis+cluster://` with three of the addresses.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().step_by(2).map(|node| node.address().to_string()).collect();
        format!("redis+cluster://{}", addresses.join(","))
    }

    /// All masters and replicas.
    pub fn nodes(&self) -> impl Iterator<Item = &RedisServer> {
        self.nodes.iter()
    }

    /// The nodes that have not been killed.
    fn running(&self) -> impl Iterator<Item = &RedisServer> {
        self.nodes.iter().filter(|node| node.is_running())
    }

    /// The masters in order of their first slot, as a running node sees them.
    #[track_caller]
    pub fn masters(&self) -> Vec<&RedisServer> {
        let mut peers = peers(self.running().next().expect("a node is running"));
        peers.retain(|peer| peer.is_master && !peer.slots.is_empty());
        peers.sort_by_key(|peer| peer.slots.clone());
        peers.iter().map(|peer| self.node(&peer.id)).collect()
    }

    #[track_caller]
    fn node(&self, id: &str) -> &RedisServer {
        &self.nodes[self.ids.iter().position(|known| known == id).expect("each node is one of the six")]
    }

    fn id(&self, node: &RedisServer) -> &str {
        &self.ids
            [self.nodes.iter().position(|known| known.address() == node.address()).expect("a node of this cluster")]
    }

    /// The slot of a key.
    #[track_caller]
    pub fn slot(&self, key: &str) -> u16 {
        self.running().next().expect("a node is running").query(&["CLUSTER", "KEYSLOT", key])
    }

    /// The master of a slot.
    #[track_caller]
    pub fn master_of(&self, slot: u16) -> &RedisServer {
        let peers = peers(self.running().next().expect("a node is running"));
        let has = |peer: &Peer| peer.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot));
        self.node(&peers.into_iter().find(has).expect("each slot has a master").id)
    }

    /// All keys, each with its master. A cluster has no database but 0.
    #[track_caller]
    pub fn keys(&self) -> Vec<(String, SocketAddr)> {
        let of = |master: &&RedisServer| {
            let address = master.address();
            let keys: Vec<String> = master.query(&["KEYS", "*"]);
            keys.into_iter().map(move |key| (key, address)).collect::<Vec<_>>()
        };
        self.masters().iter().flat_map(of).collect()
    }

    /// The answer to a command about one key, asked at the key's master.
    #[track_caller]
    pub fn query<T: FromRedisValue>(&self, key: &str, words: &[&str]) -> T {
        self.master_of(self.slot(key)).query(words)
    }

    /// Moves a slot and its keys to another master, key by key, while clients may use it.
    #[track_caller]
    pub fn migrate_slot(&self, slot: u16, to: &RedisServer) {
        self.migrate_slot_and(slot, to, || ());
    }

    /// The same, and calls `before_the_end` when all keys have moved, but the slot is still the old master's.
    #[track_caller]
    pub fn migrate_slot_and(&self, slot: u16, to: &RedisServer, before_the_end: impl FnOnce()) {
        let from = self.master_of(slot);
        let number = slot.to_string();
        let (from_id, to_id) = (self.id(from), self.id(to));
        to.query::<()>(&["CLUSTER", "SETSLOT", &number, "IMPORTING", from_id]);
        from.query::<()>(&["CLUSTER", "SETSLOT", &number, "MIGRATING", to_id]);
        let (host, port) = (to.address().ip().to_string(), to.address().port().to_string());
        let mut source = from.connection();
        loop {
            let keys: Vec<String> = run(&mut source, &["CLUSTER", "GETKEYSINSLOT", &number, "1"]);
            let Some(key) = keys.first() else { break };
            // A client may end the key first: NOKEY.
            let _done: String = run(&mut source, &["MIGRATE", &host, &port, key, "0", "5000"]);
        }
        before_the_end();
        // The receiver first: while the old master names the new one, the new one has to serve the slot.
        for node in [to, from].into_iter().chain(self.masters()) {
            node.query::<()>(&["CLUSTER", "SETSLOT", &number, "NODE", to_id]);
        }
        wait::until_true("all nodes to know the slot's new master", || {
            let has = |peer: &Peer| peer.id == to_id && peer.slots.iter().any(|(a, b)| (*a..=*b).contains(&slot));
            self.running().all(|node| peers(node).iter().any(has))
        });
    }

    /// Lets the replica of a master take over with CLUSTER FAILOVER, which loses no write, and waits until it has.
    #[track_caller]
    pub fn failover(&self, master: &RedisServer) {
        let id = self.id(master);
        let replica = self.replica_of(id);
        let promoted = self.id(replica);
        wait::until_true("the replica to take over", || {
            // Refused, or given up, if the replica lags: then once more.
            let _asked = replica.try_query::<()>(&["CLUSTER", "FAILOVER"]);
            wait_briefly(|| {
                self.running().all(|node| peers(node).iter().any(|peer| peer.id == promoted && peer.is_master))
            })
        });
        self.wait_until_whole();
    }

    fn replica_of(&self, id: &str) -> &RedisServer {
        let peers = peers(self.running().next().expect("a node is running"));
        self.node(&peers.iter().find(|peer| peer.master == id).expect("each master has a replica").id)
    }

    /// Kills a master, whose latest writes may be lost.
    pub fn kill(&mut self, master: SocketAddr) {
        let node = self.nodes.iter_mut().find(|node| node.address() == master).expect("a node of this cluster");
        node.stop();
    }

    /// Waits until all running nodes agree about the masters, and serve every slot.
    #[track_caller]
    pub fn wait_until_whole(&self) {
        wait::until_true("the cluster to serve every slot", || {
            let views: Vec<BTreeMap<_, _>> = self
                .running()
                .map(|node| {
                    let masters = peers(node).into_iter().filter(|peer| peer.is_master && !peer.fails);
                    masters.map(|peer| (peer.id, peer.slots)).collect()
                })
                .collect();
            let agreed = views.windows(2).all(|pair| pair[0] == pair[1]);
            agreed && self.running().all(|node| node.query::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
        });
    }
}

/// Whether a condition holds within a second.
fn wait_briefly(mut condition: impl FnMut() -> bool) -> bool {
    (0..50).any(|_| {
        let holds = condition();
        if !holds {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        holds
    })
}

#[track_caller]
fn run<T: FromRedisValue>(connection: &mut Connection, words: &[&str]) -> T {
    let mut command = Cmd::new();
    for word in words {
        command.arg(word);
    }
    command.query(connection).unwrap_or_else(|error| panic!("redis-server refuses {words:?}: {error}"))
}

/// The nodes as one of them sees them.
fn peers(node: &RedisServer) -> Vec<Peer> {
    let nodes: String = node.query(&["CLUSTER", "NODES"]);
    nodes.lines().map(peer).collect()
}

/// Reads a line of CLUSTER NODES: id, address, flags, master, ping, pong, epoch, link, slots.
fn peer(line: &str) -> Peer {
    let fields: Vec<_> = line.split(' ').collect();
    let flags: Vec<_> = fields[2].split(',').collect();
    let number = |text: &str| text.parse().expect("a slot is a number");
    // A slot that is being moved is listed once more, in brackets.
    let ranges = fields[8..].iter().filter(|range| !range.starts_with('['));
    Peer {
        id: fields[0].to_owned(),
        is_master: flags.contains(&"master"),
        master: fields[3].to_owned(),
        fails: flags.iter().any(|flag| flag.starts_with("fail")),
        slots: ranges
            .map(|range| range.split_once('-').unwrap_or((range, range)))
            .map(|(a, b)| (number(a), number(b)))
            .collect(),
    }
}
