//! A WebSocket that sends a message with the user each second. The filter decides at its upgrade, and closes it after
//! its session has ended (`recheck` in envoy.yaml).

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use crate::user::User;

const INTERVAL: Duration = Duration::from_secs(1);
/// Small, because clients send no messages.
const MAX_MESSAGE_BYTES: usize = 1024;

#[derive(Serialize)]
struct Tick<'a> {
    tick: u64,
    user: &'a str,
    name: &'a str,
}

pub async fn open(user: User, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES)
        .on_upgrade(move |socket| tick_until_it_closes(socket, user))
}

async fn tick_until_it_closes(mut socket: WebSocket, user: User) {
    let mut clock = interval(INTERVAL);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for tick in 1.. {
        // The first tick is immediate.
        if !stays_open(&mut socket, clock.tick()).await {
            return;
        }
        let Ok(text) = serde_json::to_string(&Tick { tick, user: &user.id, name: user.name() }) else { return };
        if socket.send(Message::text(text)).await.is_err() {
            return;
        }
    }
}

/// Whether the socket is still open after `wait`. Reading it answers pings and closes.
async fn stays_open<T>(socket: &mut WebSocket, wait: impl Future<Output = T>) -> bool {
    let closed = async { while let Some(Ok(_)) = socket.recv().await {} };
    tokio::select! {
        _ = wait => true,
        () = closed => false,
    }
}
