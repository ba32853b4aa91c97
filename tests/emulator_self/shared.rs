//! Shared data and shared queues.

use super::probe::{events, on_callback, record, respond_to_unknown_call, vm};
use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

#[test]
fn an_enqueued_item_is_announced_to_its_root_context_in_a_later_event() {
    let mut vm = vm();
    on_callback("call response", |_| {
        let queue = hostcalls::register_shared_queue("rest").unwrap();
        hostcalls::enqueue_shared_queue(queue, Some(b"more")).unwrap();
        record("enqueued".to_owned());
    });
    on_callback("queue", |_| {
        let queue = hostcalls::resolve_shared_queue("", "rest").unwrap().unwrap();
        let item = hostcalls::dequeue_shared_queue(queue).unwrap().unwrap();
        record(String::from_utf8(item).unwrap());
        assert_eq!(hostcalls::dequeue_shared_queue(queue), Ok(None));
    });
    respond_to_unknown_call(&mut vm);
    assert_eq!(events()[2..], ["call response", "enqueued", "queue", "more"]);
}

#[test]
fn shared_data_is_set_only_under_its_current_version() {
    let mut vm = vm();
    on_callback("tick", |_| {
        hostcalls::set_shared_data("key", Some(b"one"), None).unwrap();
        let (value, cas) = hostcalls::get_shared_data("key").unwrap();
        assert_eq!(value.as_deref(), Some(&b"one"[..]));
        hostcalls::set_shared_data("key", Some(b"two"), cas).unwrap();
        assert_eq!(hostcalls::set_shared_data("key", Some(b"three"), cas), Err(Status::CasMismatch));
        assert_eq!(hostcalls::get_shared_data("other").unwrap(), (None, None));
    });
    respond_to_unknown_call(&mut vm);
}
