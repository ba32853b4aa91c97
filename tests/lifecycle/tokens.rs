//! Token sources: where a token is read, and whether the upstream receives it.

use super::emulator::{Request, Vm};
use super::{SESSION, config, resolved_request, respond_to_all, three_routes, token};
use serde_json::json;

#[test]
fn the_first_source_that_holds_a_token_decides() {
    let config = config(json!({"token_from": [
        {"cookie": "sid"}, {"header": "authorization", "prefix": "Bearer "}, {"query": "token"},
    ]}));
    let mut vm = Vm::with_config(config);
    let cookie = |n: u32| format!("a=b; sid={}", token(n));
    for (request, expected) in [
        (Request::get("/").header("cookie", cookie(1)).header("authorization", format!("Bearer {}", token(2))), 1),
        (Request::get("/").header("cookie", "a=b").header("cookie", cookie(3)), 3),
        (Request::get("/").header("cookie", format!("sid=\"{}\"", token(4))), 4),
        (Request::get("/").header("cookie", "sid=junk").header("authorization", format!("bearer {}", token(5))), 5),
        (Request::get("/").header("cookie", cookie(6)).header("cookie", cookie(6)), 6),
        (
            Request::get(&format!("/ws?a=b&token={}", token(7)))
                .header("upgrade", "websocket")
                .header("connection", "keep-alive, Upgrade"),
            7,
        ),
    ] {
        let stream = vm.request(request);
        let call = vm.call();
        assert_eq!(call.path(), format!("/myapp/get/{}", token(expected)));
        vm.respond(&call, 200, SESSION);
        assert!(stream.passed());
    }
    let query = vm.request(Request::get(&format!("/?token={}", token(8))));
    assert_eq!(query.local_reply_status(), Some(401), "a query is a source for WebSocket upgrades only");
    let conflict = Request::get("/").header("cookie", cookie(1)).header("cookie", cookie(2));
    let conflict = vm.request(conflict.header("authorization", format!("Bearer {}", token(3))));
    assert_eq!(conflict.local_reply_status(), Some(401), "a conflict ends the search");
    assert_eq!(vm.counter("conflicts_total"), 1);
}

#[test]
fn forward_token_false_removes_the_token_from_every_source_and_nothing_else() {
    let mut config = three_routes();
    config["forward_token"] = json!(false);
    config["token_from"] = json!([{"cookie": "sid"}, {"header": "authorization", "prefix": "Bearer "}]);
    let mut vm = Vm::with_config(config);
    for path in ["/", "/optional/a", "/off/a"] {
        let stream = vm.request(
            Request::get(path)
                .header("cookie", format!("theme=dark; sid={}; sid=junk; lang=en", token(1)))
                .header("cookie", "sid=other")
                .header("authorization", "Basic dTpw")
                .header("authorization", format!("Bearer {}", token(2))),
        );
        respond_to_all(&mut vm);
        let cookies = stream.upstream_header_values("cookie").join("; ");
        assert!(cookies.contains("theme=dark") && cookies.contains("lang=en"), "{path}: {cookies}");
        assert!(!cookies.contains("sid="), "{path}: {cookies}");
        assert_eq!(stream.upstream_header_values("authorization"), ["Basic dTpw"], "{path}");
    }
}

#[test]
fn the_token_reaches_the_upstream_by_default() {
    let mut vm = Vm::with_config(three_routes());
    let stream = resolved_request(&mut vm, "/", SESSION);
    assert_eq!(stream.upstream_header("cookie"), Some(format!("session-cookie={}", token(1))));
}
