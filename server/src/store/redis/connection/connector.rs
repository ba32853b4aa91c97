//! Opens a connection to Redis: to one server, to the master that Sentinels name, or to a cluster.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::SingleNodeRoutingInfo;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, RedisFuture, RedisResult, ServerErrorKind, TlsCertificates, TlsMode, Value,
};

use super::super::url::{Node, RedisUrl, Topology};

/// An open connection. Clones share it.
#[derive(Clone)]
pub enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => Box::pin(async move {
                match connection.req_packed_command(cmd).await {
                    Err(error) => match node_to_ask(&error) {
                        Some(node) => ask(connection, node, cmd).await,
                        None => Err(error),
                    },
                    answer => answer,
                }
            }),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// The node that has the keys already while their slot moves. The one that was asked first has done nothing.
fn node_to_ask(error: &RedisError) -> Option<SingleNodeRoutingInfo> {
    if error.kind() != ErrorKind::Server(ServerErrorKind::Ask) {
        return None;
    }
    let (address, _slot) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    Some(SingleNodeRoutingInfo::ByAddress { host: host.to_owned(), port: port.parse().ok()? })
}

/// Sends a command to the node that a slot moves to. The client does so itself only where it may also repeat commands
/// that were executed.
async fn ask(connection: &mut ClusterConnection, node: SingleNodeRoutingInfo, cmd: &Cmd) -> RedisResult<Value> {
    let mut asking = redis::pipe();
    asking.cmd("ASKING").add_command(cmd.clone());
    let answers = connection.route_pipeline(asking, 0, 2, node).await?;
    answers.into_iter().next_back().unwrap_or(Value::Nil).extract_error()
}

/// Files with credentials. They are read for each connection, so that one that was replaced is used after the next
/// refusal.
#[derive(Debug, Clone, Default)]
pub struct CredentialFiles {
    /// The password, in place of that of the URL.
    pub password: Option<PathBuf>,
    /// The password of the Sentinels.
    pub sentinel_password: Option<PathBuf>,
    /// The certificates that sign those of Redis, in PEM, in place of the system's.
    pub ca: Option<PathBuf>,
    /// The client certificate and its key, in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Where Redis is, and how it is reached.
pub struct Connector {
    url: RedisUrl,
    files: CredentialFiles,
    timeout: Duration,
}

impl Connector {
    /// `timeout` is for an answer of a node of a cluster.
    pub fn new(url: RedisUrl, files: CredentialFiles, timeout: Duration) -> Self {
        Self { url, files, timeout }
    }

    pub fn is_cluster(&self) -> bool {
        matches!(self.url.topology, Topology::Cluster(_))
    }

    /// The caller bounds the time.
    pub async fn connect(&self) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let address = match &self.url.topology {
            Topology::Server(node) => self.address(node),
            Topology::Unix(path) => ConnectionAddr::Unix(path.clone()),
            Topology::Sentinel { nodes, master } => {
                let mut client = self.sentinel_client(nodes, master)?;
                return client.get_async_connection_with_config(&config).await.map(Connection::Server);
            }
            Topology::Cluster(nodes) => {
                return self.cluster_client(nodes)?.get_async_connection().await.map(Connection::Cluster);
            }
        };
        let client = self.client(address)?;
        client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Server)
    }

    fn client(&self, address: ConnectionAddr) -> RedisResult<Client> {
        let info = address.into_connection_info()?.set_redis_settings(self.settings()?);
        if self.url.tls { Client::build_with_tls(info, self.certificates()?) } else { Client::open(info) }
    }

    fn sentinel_client(&self, nodes: &[Node], master: &str) -> RedisResult<SentinelClient> {
        let settings = self.settings()?;
        let addresses = nodes.iter().map(|node| self.address(node));
        let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
            .set_client_to_redis_db(settings.db());
        if let Some(username) = settings.username() {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = settings.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(file) = &self.files.sentinel_password {
            builder = builder.set_client_to_sentinel_password(read_password(file)?);
        }
        if self.url.tls {
            let certificates = self.certificates()?;
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_certificates(certificates);
        }
        builder.build()
    }

    /// Without retries by the client: it would repeat a command that may have been executed.
    fn cluster_client(&self, nodes: &[Node]) -> RedisResult<ClusterClient> {
        let settings = self.settings()?;
        let mut builder = ClusterClient::builder(nodes.iter().map(|node| self.address(node)))
            .retries(0)
            .connection_timeout(self.timeout)
            .response_timeout(self.timeout)
            .overall_response_timeout(None);
        if let Some(username) = settings.username() {
            builder = builder.username(username);
        }
        if let Some(password) = settings.password() {
            builder = builder.password(password);
        }
        if self.url.tls {
            builder = builder.tls(TlsMode::Secure).certs(self.certificates()?);
        }
        builder.build()
    }

    fn address(&self, node: &Node) -> ConnectionAddr {
        let (host, port) = (node.host.clone(), node.port);
        if self.url.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }

    /// User, password and database.
    fn settings(&self) -> RedisResult<RedisConnectionInfo> {
        // The library's name would need a further permission, and Redis below 7.2 does not know the command.
        let mut settings = RedisConnectionInfo::default().set_db(self.url.database).set_skip_set_lib_name();
        if let Some(username) = &self.url.username {
            settings = settings.set_username(username);
        }
        let password = match &self.files.password {
            Some(file) => Some(read_password(file)?),
            None => self.url.password.clone(),
        };
        Ok(match password {
            Some(password) => settings.set_password(password),
            None => settings,
        })
    }

    fn certificates(&self) -> RedisResult<TlsCertificates> {
        let client_tls = match &self.files.identity {
            Some((cert, key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
            None => None,
        };
        let root_cert = self.files.ca.as_deref().map(read).transpose()?;
        Ok(TlsCertificates { client_tls, root_cert })
    }
}

/// The first line of the file.
fn read_password(file: &Path) -> io::Result<String> {
    let text = String::from_utf8_lossy(&read(file)?).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    fs::read(file).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}
