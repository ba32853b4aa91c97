//! The WebSocket, over a real connection.

use std::time::Duration;

use axum::http::StatusCode;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use test_support::serve::serve;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(headers: &[(&'static str, &str)]) -> Result<Socket, Error> {
    let address = serve(shop::router()).await;
    let mut request = format!("ws://{address}/ws/ticks").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    connect_async(request).await.map(|(socket, _)| socket)
}

async fn next(socket: &mut Socket) -> Message {
    timeout(Duration::from_secs(10), socket.next())
        .await
        .expect("no message in time")
        .expect("the socket has ended")
        .unwrap()
}

#[tokio::test]
async fn it_sends_a_tick_with_the_user_at_once_and_then_each_second() {
    let headers = [("x-session-user", "max"), ("x-session-data", r#"{"name":"Max Planck"}"#)];
    let mut socket = connect(&headers).await.unwrap();
    for tick in 1..=2 {
        let message: Value = serde_json::from_str(next(&mut socket).await.to_text().unwrap()).unwrap();
        assert_eq!(message, json!({"tick": tick, "user": "max", "name": "Max Planck"}));
    }
}

#[tokio::test]
async fn it_answers_pings_and_closes() {
    let headers = [("x-session-user", "max"), ("x-session-data", "{}")];
    let mut socket = connect(&headers).await.unwrap();
    socket.send(Message::Ping("are you there".into())).await.unwrap();
    while next(&mut socket).await != Message::Pong("are you there".into()) {}
    socket.send(Message::Close(None)).await.unwrap();
    while !next(&mut socket).await.is_close() {}
}

#[tokio::test]
async fn without_the_headers_the_upgrade_is_refused() {
    match connect(&[]).await {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR),
        other => panic!("expected an HTTP response, found {:?}", other.map(|_| ())),
    }
}
