//! A WebSocket that ticks each second, and says whose it is. The filter judged it at its upgrade, and closes it when its
//! session has ended (`recheck` of envoy.yaml).

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use crate::user::User;

const PACE: Duration = Duration::from_secs(1);
/// Nobody has anything to say here.
const MOST_BYTES_IN: usize = 1024;

#[derive(Serialize)]
struct Tick<'a> {
    tick: u64,
    user: &'a str,
    name: &'a str,
}

pub async fn open(user: User, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .max_message_size(MOST_BYTES_IN)
        .max_frame_size(MOST_BYTES_IN)
        .on_upgrade(move |socket| tick_until_it_closes(socket, user))
}

async fn tick_until_it_closes(mut socket: WebSocket, user: User) {
    let mut clock = interval(PACE);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for tick in 1.. {
        // The first tick comes at once.
        if !stays_open(&mut socket, clock.tick()).await {
            return;
        }
        let Ok(text) = serde_json::to_string(&Tick { tick, user: &user.id, name: user.name() }) else { return };
        if socket.send(Message::text(text)).await.is_err() {
            return;
        }
    }
}

/// Whether it is still open after `wait`. Pings and closes are answered while it is read.
async fn stays_open<T>(socket: &mut WebSocket, wait: impl Future<Output = T>) -> bool {
    let closed = async { while let Some(Ok(_)) = socket.recv().await {} };
    tokio::select! {
        _ = wait => true,
        () = closed => false,
    }
}
