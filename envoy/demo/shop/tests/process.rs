//! The program: its output and its end.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use futures_util::StreamExt;
use test_support::process::{Process, Signal};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

fn command(listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command.args(["--listen", listen]);
    command
}

#[tokio::test]
async fn a_signal_ends_it_while_a_websocket_is_open() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut shop = Process::start("shop", command("127.0.0.1:0"));
        let address = shop.wait_for_address("shop listens on ");
        let mut request = format!("ws://{address}/ws/ticks").into_client_request().unwrap();
        request.headers_mut().insert("x-session-user", "max".parse().unwrap());
        request.headers_mut().insert("x-session-data", "{}".parse().unwrap());
        let (mut socket, _) = connect_async(request).await.unwrap();
        assert!(matches!(socket.next().await, Some(Ok(_))), "no tick arrives");

        shop.signal(signal);
        let exit = tokio::task::spawn_blocking(move || shop.wait_for_exit());
        assert_eq!(
            tokio::time::timeout(Duration::from_secs(4), exit).await.expect("it does not end").unwrap(),
            Some(0)
        );
        while let Some(Ok(_)) = socket.next().await {}
    }
}

#[test]
fn an_address_in_use_is_named_with_what_to_do() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let output = command(&address.to_string()).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = format!("shop: cannot listen on {address}: Address already in use");
    assert!(said.starts_with(&expected) && said.contains("choose another with --listen"), "{said}");
}
