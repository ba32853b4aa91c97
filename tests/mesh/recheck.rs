//! Streams that outlive their sessions: looked at again, and closed once nobody would let them in any more.

use std::time::Duration;

use serde_json::json;

use crate::harness::client::{Connection, Request};
use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::sessions::RestSessions;
use crate::harness::stub::{Answer, Stub};
use crate::harness::token;

fn open(mesh: &Mesh, request: &Request) -> Connection {
    let mut connection = mesh.begin(request);
    assert_eq!(connection.read(false).status, 101, "{request}");
    assert_open(&mut connection);
    connection
}

#[track_caller]
fn assert_open(connection: &mut Connection) {
    connection.write(b"ping");
    assert_eq!(connection.read_exact(4), b"ping");
}

#[test]
fn websocket_is_closed_once_its_session_is_gone_and_no_other_is() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(plugin(json!({"default": {"session": "required", "recheck": "1s"}})))
        .sessions(sessions.address())
        .start();
    let [mine, other] = ["user1", "user2"].map(|user| sessions.create(user, &json!(null)));
    let mut closes = open(&mesh, &Request::upgrade("/ws").session(&mine));
    let mut stays = open(&mesh, &Request::upgrade("/ws").session(&other));
    sessions.kill(&mine);
    assert!(closes.is_closed_by_peer());
    assert_open(&mut stays);
    mesh.expect_outcomes(&[("allowed_total", 2)]);
    assert_eq!(mesh.counter("recheck_closed_total"), 1);
}
