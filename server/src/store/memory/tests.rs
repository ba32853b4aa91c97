//! What callers see beside each other.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use serde_json::value::RawValue;

use super::table::PAGE;
use super::*;

const USE: Read = Read { touch: true, max_idle: None };

struct Fixture {
    store: MemoryStore,
    app: App,
    seconds: Arc<AtomicU64>,
}

impl Fixture {
    fn new(max_bytes: usize, max_session_bytes: usize) -> Self {
        let seconds = Arc::new(AtomicU64::new(1000));
        let clock = Clock::new({
            let seconds = Arc::clone(&seconds);
            move || seconds.load(Ordering::SeqCst) * 1000
        });
        let store = MemoryStore::new(max_bytes, max_session_bytes, clock);
        Self { store, app: App::parse("app1").unwrap(), seconds }
    }

    async fn create(&self, data: &str) -> Result<Token, StoreError> {
        let data = Data::from_stored(data).unwrap();
        self.store.create(&self.app, NewSession { id: "u".to_owned(), ip: "::1".to_owned(), ttl: 10, data }).await
    }

    fn reads(&self, token: &Token) -> Option<i64> {
        match self.store.get(&self.app, token, USE) {
            Lookup::Active { session, .. } => Some(session.r),
            Lookup::Ended | Lookup::Missing => None,
        }
    }
}

/// Calls `between` whenever the future lets other tasks run, and returns how often that was, and its output.
fn interleaved<T>(future: impl Future<Output = T>, mut between: impl FnMut()) -> (usize, T) {
    let mut future = pin!(future);
    for pauses in 0.. {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return (pauses, output);
        }
        between();
    }
    unreachable!("the loop has no end")
}

#[tokio::test]
async fn other_calls_run_between_the_pages_of_a_list() {
    let fixture = Fixture::new(usize::MAX, 1000);
    let (store, app) = (&fixture.store, &fixture.app);
    let token = fixture.create(r#"{"a":1}"#).await.unwrap();
    for _ in 1..PAGE * 3 {
        fixture.create("{}").await.unwrap();
    }
    let mut reads = 0;
    let mut read = || {
        reads += 1;
        assert_eq!(fixture.reads(&token), Some(reads));
    };
    let (pauses, sessions) = interleaved(store.app_sessions(app, 10), &mut read);
    assert_eq!((pauses, sessions.len()), (3, PAGE * 3));
    let (pauses, sessions) = interleaved(store.user_sessions(app, "u"), &mut read);
    assert_eq!((pauses, sessions.len()), (3, PAGE * 3));
    assert_eq!(interleaved(store.active_users(app, 10), &mut read), (3, 1));
    assert_eq!(interleaved(store.sweep(1000), &mut read), (3, 0));
    assert_eq!(interleaved(store.kill_all(app), || {}), (3, u64::try_from(PAGE * 3).unwrap()));
    assert_eq!(fixture.reads(&token), None);
}

#[tokio::test]
async fn a_session_that_is_used_while_its_app_is_listed_keeps_its_changes() {
    let fixture = Fixture::new(usize::MAX, 1000);
    let token = fixture.create("{}").await.unwrap();
    let listed = fixture.store.lock().page(&Scope::All, None, |_| true);
    assert_eq!(fixture.reads(&token), Some(1));
    drop(listed);
    assert_eq!(fixture.reads(&token), Some(2));
}

#[tokio::test]
async fn a_session_is_not_created_larger_than_the_bound() {
    let fixture = Fixture::new(usize::MAX, 100);
    let of_size = |size: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(size - 8));
    assert_eq!(fixture.create(&of_size(101)).await.unwrap_err(), StoreError::TooLarge(100));
    let token = fixture.create(&of_size(100)).await.unwrap();
    let change = Change::parse(&RawValue::from_string(r#"{"b":1}"#.to_owned()).unwrap()).unwrap();
    let refused = fixture.store.set(&fixture.app, &token, &change).await;
    assert_eq!(refused.unwrap_err(), StoreError::TooLarge(100));
}

#[tokio::test]
async fn a_full_store_renews_a_session_that_does_not_grow_and_leaves_one_that_would() {
    let fixture = Fixture::new(1 << 14, 1000);
    let (store, app) = (&fixture.store, &fixture.app);
    let mut token = fixture.create("{}").await.unwrap();
    while fixture.create("{}").await.is_ok() {}
    let bytes = store.bytes();
    for _ in 0..100 {
        token = store.renew(app, &token, None, false).await.unwrap().token.unwrap();
    }
    assert_eq!(store.bytes(), bytes);
    let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(900));
    let larger = Change::parse(&RawValue::from_string(text).unwrap()).unwrap();
    assert_eq!(store.renew(app, &token, Some(&larger), false).await.unwrap_err(), StoreError::Full);
    assert_eq!((fixture.reads(&token), store.bytes()), (Some(1), bytes));
    let renewal = store.renew(app, &token, Some(&larger), true).await.unwrap();
    assert!(renewal.others > 10 && renewal.token.is_some(), "the others make room");
    store.kill(app, &renewal.token.unwrap());
    assert_eq!(store.bytes(), MemoryStore::new(0, 0, store.clock.clone()).bytes());
}

#[tokio::test]
async fn a_renewal_that_ends_the_others_spares_the_session_of_one_that_comes_first() {
    let fixture = Fixture::new(usize::MAX, 1000);
    let (store, app) = (&fixture.store, &fixture.app);
    let token = fixture.create("{}").await.unwrap();
    for _ in 1..PAGE * 3 {
        fixture.create("{}").await.unwrap();
    }
    let mut first = None;
    let (_, last) = interleaved(store.renew(app, &token, None, true), || {
        if first.is_none() {
            first = interleaved(store.renew(app, &token, None, false), || {}).1.unwrap().token;
        }
    });
    let last = last.unwrap();
    // The session itself may be in the first page.
    assert!(last.token.is_none() && [PAGE - 1, PAGE].contains(&usize::try_from(last.others).unwrap()), "{last:?}");
    assert_eq!(fixture.reads(&first.unwrap()), Some(1));
}

#[tokio::test]
async fn a_full_store_is_swept_once_a_second_and_ready_again() {
    let fixture = Fixture::new(1 << 14, 1000);
    assert_eq!(fixture.store.ready().await, Ok(()));
    let full = loop {
        if let Err(error) = fixture.create("{}").await {
            break error;
        }
    };
    assert_eq!((full, fixture.store.ready().await), (StoreError::Full, Err(StoreError::Full)));
    fixture.seconds.fetch_add(11, Ordering::SeqCst);
    assert_eq!(fixture.store.ready().await, Ok(()));
    assert!(fixture.create("{}").await.is_ok());
    assert_eq!(fixture.store.user_sessions(&fixture.app, "u").await.len(), 1);
}
