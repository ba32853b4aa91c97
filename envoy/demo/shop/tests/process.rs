//! The program: what it says, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Ended with its test.
struct Shop {
    child: Child,
    address: SocketAddr,
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command.args(["--listen", listen]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start() -> Shop {
    let mut child = command("127.0.0.1:0").spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("shop listens on ").expect(&line).parse().unwrap();
    Shop { child, address }
}

#[tokio::test]
async fn a_signal_ends_it_while_a_websocket_is_open() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut shop = start();
        let mut request = format!("ws://{}/ws/ticks", shop.address).into_client_request().unwrap();
        request.headers_mut().insert("x-session-user", "max".parse().unwrap());
        request.headers_mut().insert("x-session-data", "{}".parse().unwrap());
        let (mut socket, _) = connect_async(request).await.unwrap();
        assert!(matches!(socket.next().await, Some(Ok(_))), "it does not tick");

        kill_process(Pid::from_child(&shop.child), signal).unwrap();
        let ended = tokio::task::spawn_blocking(move || shop.child.wait().unwrap());
        assert!(tokio::time::timeout(Duration::from_secs(4), ended).await.expect("it does not end").unwrap().success());
        while let Some(Ok(_)) = socket.next().await {}
    }
}

#[test]
fn a_taken_address_is_named_with_what_to_do() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let mut child = command(&address.to_string()).spawn().unwrap();
    assert!(!child.wait().unwrap().success());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let expected = format!("shop: cannot listen on {address}: Address already in use");
    assert!(said.starts_with(&expected) && said.contains("choose another with --listen"), "{said}");
}
