//! A store for tests, and the operations of both backends.
//!
//! On SQLite, or on PostgreSQL with `MODEL_SERVICE_TEST_STORE=postgres`.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]
#[path = "../../tests/common/postgres.rs"]
mod postgres;

use std::fs;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use super::*;
use crate::settings::Settings;

/// A new store, which is removed when it is dropped.
pub(super) struct TestStore {
    pub(super) store: Store,
    settings: Settings,
    _directory: tempfile::TempDir,
    _database: Option<postgres::Database>,
}

impl TestStore {
    pub(super) fn new() -> Self {
        let on_postgres = std::env::var("MODEL_SERVICE_TEST_STORE").is_ok_and(|store| store == "postgres");
        let database = on_postgres.then(|| postgres::Server::shared().database());
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("settings.toml");
        let name = database
            .as_ref()
            .map_or_else(|| "database.sqlite".to_owned(), postgres::Database::url);
        let text = format!(
            "database = \"{name}\"\naccount-keys = []\nimport-token-file = \"token\"\n\
             page-password-file = \"password\"\nmodel = []\n"
        );
        fs::write(&file, text).unwrap();
        let settings = Settings::read(&file).unwrap();
        Store::create(&settings).unwrap();
        Self {
            store: Store::open(&settings).unwrap(),
            settings,
            _directory: directory,
            _database: database,
        }
    }

    /// Another process with the same database, as far as the store can tell; this one on SQLite,
    /// where one process writes.
    fn replica(&self) -> Store {
        match &self.store.0 {
            Backend::Sqlite(_) => self.store.clone(),
            Backend::Postgres(_) => Store::open(&self.settings).unwrap(),
        }
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

fn number(serial: &str) -> SerialNumber {
    SerialNumber {
        brand: "brand".to_owned(),
        model: "model".to_owned(),
        serial: serial.to_owned(),
    }
}

fn issued(serial: &str, device: &str, revision: u64) -> IssuedSerial {
    IssuedSerial {
        number: number(serial),
        device: device.to_owned(),
        revision,
        device_key: "key".to_owned(),
        sign_key: "signer".to_owned(),
        assertion: format!("assertion {serial} {device} {revision}"),
    }
}

fn entry(outcome: &str) -> LogEntry {
    LogEntry {
        time: 1000,
        outcome: outcome.to_owned(),
        ..LogEntry::default()
    }
}

fn identity(key: &str, revision: u64, hardware_id: &str, text: &str) -> IdentityRecord {
    IdentityRecord {
        issuer: "acme".to_owned(),
        digest: format!("text-{key}"),
        key_digest: format!("der-{key}"),
        revision,
        hardware_id: hardware_id.to_owned(),
        hardware_name: "edge-box".to_owned(),
        manufacturer: "Acme".to_owned(),
        assertion: text.to_owned(),
    }
}

fn outcomes(count: u64) -> StoredCounts {
    StoredCounts {
        new: count,
        replaced: 0,
        present: 0,
        older: 0,
    }
}

fn authorship() -> Authorship {
    Authorship::new("token support".to_owned(), "stolen").unwrap()
}

/// Runs `work` at once in as many threads as there are stores. Returns the results.
fn at_once<T: Send>(stores: &[Store], work: impl Fn(&Store) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let threads: Vec<_> = stores.iter().map(|store| scope.spawn(|| work(store))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn replicas(world: &TestStore, count: usize) -> Vec<Store> {
    (0..count).map(|_| world.replica()).collect()
}

#[test]
fn a_nonce_is_consumed_once_by_many_replicas() {
    let world = TestStore::new();
    let stores = replicas(&world, 8);
    for round in 0..10 {
        let nonce = format!("nonce {round}");
        wait(world.store.issue_nonce(NonceKind::Registration, &nonce, 600, 100)).unwrap();
        let attempt = AtomicI64::new(0);
        let states = at_once(&stores, |store| {
            let attempt = attempt.fetch_add(1, Ordering::Relaxed);
            store
                .consume_nonce(NonceKind::Registration, &nonce, attempt)
                .unwrap()
        });
        let count = |wanted| states.iter().filter(|state| **state == wanted).count();
        assert_eq!((count(NonceState::Consumed), count(NonceState::Used)), (1, 7));
    }
}

/// Only PostgreSQL can lose the result of what it committed.
#[test]
fn an_attempt_that_lost_its_result_finds_its_own_use() {
    let world = TestStore::new();
    wait(world.store.issue_nonce(NonceKind::Session, "nonce", 600, 100)).unwrap();
    let states = [1, 1, 2].map(|attempt| {
        world
            .store
            .consume_nonce(NonceKind::Session, "nonce", attempt)
            .unwrap()
    });
    let again = match world.store.0 {
        Backend::Sqlite(_) => NonceState::Used,
        Backend::Postgres(_) => NonceState::Consumed,
    };
    assert_eq!(states, [NonceState::Consumed, again, NonceState::Used]);
}

#[test]
fn nonces_that_are_unknown_late_or_not_text() {
    let world = TestStore::new();
    let store = &world.store;
    wait(store.issue_nonce(NonceKind::Registration, "late", 0, 100)).unwrap();
    for (nonce, state) in [
        ("late", NonceState::Expired),
        ("other", NonceState::Unknown),
        ("with\0NUL", NonceState::Unknown),
        ("", NonceState::Unknown),
    ] {
        assert_eq!(
            store.consume_nonce(NonceKind::Registration, nonce, 1).unwrap(),
            state,
            "{nonce:?}"
        );
    }
}

#[test]
fn the_oldest_nonces_are_deleted_for_new_ones() {
    let world = TestStore::new();
    let store = &world.store;
    for nonce in ["a", "b", "c", "d"] {
        wait(store.issue_nonce(NonceKind::Registration, nonce, 600, 3)).unwrap();
    }
    assert_eq!(
        store.consume_nonce(NonceKind::Registration, "a", 1).unwrap(),
        NonceState::Unknown
    );
    assert_eq!(
        store.consume_nonce(NonceKind::Registration, "b", 1).unwrap(),
        NonceState::Consumed
    );
}

#[test]
fn the_second_of_two_issues_is_a_conflict() {
    let world = TestStore::new();
    let record = |attempt| world.store.record_issue(attempt, entry("issued"), 100).unwrap();
    let mut recorded = Vec::new();
    for attempt in [
        issued("1", "a", 0), // the first
        issued("1", "b", 0), // another device, the same serial
        issued("2", "a", 0), // the same device, another serial
        issued("1", "a", 0), // the same revision again
        issued("1", "a", 1),
        issued("2", "b", 0),
    ] {
        recorded.push(record(attempt) == IssueOutcome::Recorded);
    }
    assert_eq!(recorded, [true, false, false, false, true, true]);
    let store = &world.store;
    assert_eq!(store.find_holder(&number("1")).unwrap().as_deref(), Some("a"));
    let find = |device: &str, wanted: Option<&str>, device_key: &str| {
        let found = store.find_assignment(AssignmentQuery {
            brand: "brand".to_owned(),
            model: "model".to_owned(),
            device: device.to_owned(),
            wanted: wanted.map(str::to_owned),
            device_key: device_key.to_owned(),
            sign_key: "signer".to_owned(),
        });
        let found = found.unwrap();
        let last = found.last.map(|last| (last.revision, last.assertion));
        (found.serial, found.holder, last)
    };
    let text = |text: &str| Some(text.to_owned());
    // The serial that it has, whatever it wants.
    let of_a = |assertion| (text("1"), None, Some((1, assertion)));
    assert_eq!(find("a", Some("2"), "key"), of_a(text("assertion 1 a 1")));
    assert_eq!(find("a", None, "other"), of_a(None));
    let taken = (None, text("b"), Some((0, text("assertion 2 b 0"))));
    assert_eq!(find("c", Some("2"), "key"), taken);
    assert_eq!(find("c", Some("3"), "key"), (None, None, None));
    assert_eq!(find("c", None, "key"), (None, None, None));
    assert_eq!(wait(store.counts()).unwrap().logged, 3);
}

#[test]
fn of_issues_at_once_one_has_the_serial() {
    let world = TestStore::new();
    let stores = replicas(&world, 8);
    for round in 0..10 {
        let serial = format!("SN-{round}");
        let counter = std::sync::atomic::AtomicUsize::new(0);
        let outcomes = at_once(&stores, |store| {
            let device = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let attempt = issued(&serial, &format!("device {round} {device}"), 0);
            store.record_issue(attempt, entry("issued"), 1000).unwrap()
        });
        let recorded = outcomes
            .iter()
            .filter(|outcome| **outcome == IssueOutcome::Recorded);
        assert_eq!(recorded.count(), 1);
    }
    let counts = wait(world.store.counts()).unwrap();
    assert_eq!((counts.serials, counts.assertions, counts.logged), (10, 10, 10));
}

#[test]
fn a_released_serial_goes_to_another_device() {
    let world = TestStore::new();
    let store = &world.store;
    let record = |attempt| store.record_issue(attempt, entry("issued"), 100).unwrap();
    assert_eq!(record(issued("1", "a", 0)), IssueOutcome::Recorded);
    store.release_serial(&number("1"), authorship()).unwrap();
    assert_eq!(record(issued("1", "b", 0)), IssueOutcome::Conflict);
    assert_eq!(store.find_holder(&number("1")).unwrap(), None);
    assert_eq!(record(issued("1", "b", 1)), IssueOutcome::Recorded);
    assert_eq!(store.find_holder(&number("1")).unwrap().as_deref(), Some("b"));
    let again = store.release_serial(&number("2"), authorship());
    assert!(matches!(again, Err(WithdrawalError::UnknownSerial { .. })));
}

#[test]
fn a_blocked_identity_gets_nothing() {
    let world = TestStore::new();
    let store = &world.store;
    let import = store.begin_import(1000).unwrap();
    import
        .upsert_identities(&[identity("k", 0, "hw", "text")])
        .unwrap();
    import
        .commit(outcomes(1), &ImportOrigin::new("test".to_owned(), ""))
        .unwrap();
    let device = identity_device("der-k");
    for digest in ["text-k", "der-k"] {
        assert!(store.block_identity(digest, 1000, authorship()).unwrap());
        assert!(!store.block_identity(digest, 1000, authorship()).unwrap());
        assert!(store.find_identities("text-k").unwrap()[0].blocked);
        let outcome = store.record_issue(issued("1", &device, 0), entry("issued"), 100);
        assert_eq!(outcome.unwrap(), IssueOutcome::Blocked);
        assert!(store.unblock_identity(digest, authorship()).unwrap());
        assert!(!store.unblock_identity(digest, authorship()).unwrap());
    }
    let outcome = store.record_issue(issued("1", &device, 0), entry("issued"), 100);
    assert_eq!(outcome.unwrap(), IssueOutcome::Recorded);
    let state = store.find_identity("text-k").unwrap();
    assert_eq!(
        (state.identities.len(), state.serials, state.blocked),
        (1, vec![number("1")], None)
    );
    assert_eq!(wait(store.identity_history("der-k")).unwrap().changes.len(), 4);
}

/// After a block has returned, nothing is issued.
#[test]
fn blocks_and_issues_at_once() {
    let world = TestStore::new();
    let store = &world.store;
    let import = store.begin_import(1000).unwrap();
    import
        .upsert_identities(&[identity("k", 0, "hw", "text")])
        .unwrap();
    import
        .commit(outcomes(1), &ImportOrigin::new("test".to_owned(), ""))
        .unwrap();
    let device = identity_device("der-k");
    let replica = world.replica();
    for round in 0..10 {
        let before = thread::scope(|scope| {
            let issuing = scope.spawn(|| {
                let mut revisions = 0;
                loop {
                    let attempt = issued("1", &device, round * 1_000_000 + revisions);
                    match replica.record_issue(attempt, entry("issued"), 10).unwrap() {
                        IssueOutcome::Blocked => return,
                        _ => revisions += 1,
                    }
                }
            });
            store.block_identity("der-k", 1000, authorship()).unwrap();
            let before = wait(store.counts()).unwrap().assertions;
            issuing.join().unwrap();
            before
        });
        assert_eq!(wait(store.counts()).unwrap().assertions, before);
        store.unblock_identity("der-k", authorship()).unwrap();
    }
}

#[test]
fn refused_requests_do_not_push_out_issued_ones() {
    let world = TestStore::new();
    for outcome in ["issued", "issued", "repeated"]
        .into_iter()
        .chain(["model-unknown"; 10])
    {
        world.store.log_registration(entry(outcome), 2).unwrap();
    }
    let page = PageRequest {
        after: None,
        limit: 100,
        counted: false,
    };
    let rows = wait(
        world
            .store
            .list_registrations(RegistrationFilter::default(), page),
    )
    .unwrap()
    .rows;
    let outcomes: Vec<_> = rows.iter().map(|row| row.entry.outcome.as_str()).collect();
    assert_eq!(
        outcomes,
        ["model-unknown", "model-unknown", "repeated", "issued", "issued"]
    );
}

/// Each identity of an import, in order and in one batch or many: the outcome, and the digest of
/// another key with its hardware-id.
#[test]
fn the_outcomes_of_an_import() {
    use UpsertOutcome::{Conflict, New, Older, Present, Replaced};
    let steps = [
        (identity("a", 0, "one", "a0"), New, None),
        (identity("b", 2, "two", "b2"), New, None),
        (identity("a", 0, "one", "a0"), Present, None),
        (identity("a", 0, "one", "other"), Conflict, None),
        (identity("b", 1, "two", "b1"), Older, None),
        (identity("c", 0, "one", "c0"), New, Some("text-a")),
        (identity("a", 1, "three", "a1"), Replaced, None),
        // The hardware-id that `a` had is that of `c` alone now.
        (identity("d", 0, "one", "d0"), New, Some("text-c")),
        (identity("e", 0, "three", "e0"), New, Some("text-a")),
        (identity("c", 1, "four", "c1"), Replaced, None),
        (identity("f", 0, "one", "f0"), New, Some("text-d")),
    ];
    for size in [1, 2, 3, steps.len()] {
        let world = TestStore::new();
        let import = world.store.begin_import(1000).unwrap();
        let mut results = Vec::new();
        for batch in steps.chunks(size) {
            let copy = |(one, ..): &(IdentityRecord, _, _)| {
                identity(&one.digest[5..], one.revision, &one.hardware_id, &one.assertion)
            };
            let batch: Vec<_> = batch.iter().map(copy).collect();
            results.extend(import.upsert_identities(&batch).unwrap());
        }
        for ((identity, outcome, other), result) in steps.iter().zip(&results) {
            assert_eq!(
                (result.outcome, result.other_key.as_deref()),
                (*outcome, *other),
                "{identity:?} in batches of {size}"
            );
        }
        import
            .commit(outcomes(6), &ImportOrigin::new("test".to_owned(), ""))
            .unwrap();
        let stored = world.store.find_identities("text-a").unwrap();
        assert_eq!(stored[0].assertion, "a1");
    }
}

#[test]
fn an_import_that_is_not_committed_stores_nothing() {
    let world = TestStore::new();
    let import = world.store.begin_import(1000).unwrap();
    import
        .upsert_identities(&[identity("a", 0, "one", "a0")])
        .unwrap();
    drop(import);
    assert!(world.store.find_identities("text-a").unwrap().is_empty());
    // The next one does not wait for it.
    drop(world.store.begin_import(1000).unwrap());
}

#[test]
fn it_can_be_written() {
    let world = TestStore::new();
    wait(world.store.check_writable()).unwrap();
    world.store.close().unwrap();
    assert!(
        world
            .store
            .consume_nonce(NonceKind::Registration, "nonce", 1)
            .is_err()
    );
}

/// A person who is logged in at one replica is logged in at the others.
#[test]
fn sessions_and_attempts_hold_over_replicas() {
    let world = TestStore::new();
    let (one, other) = (world.replica(), world.replica());
    wait(one.start_session("cookie", "csrf")).unwrap();
    assert_eq!(
        wait(other.use_session("cookie")).unwrap().as_deref(),
        Some("csrf")
    );
    wait(other.end_session("cookie")).unwrap();
    assert_eq!(wait(one.use_session("cookie")).unwrap(), None);
    let stores = [&one, &other];
    let take = |index: usize| wait(stores[index % 2].take_login_attempt("source")).unwrap();
    assert_eq!((0..20).filter(|index| take(*index)).count(), 10);
    wait(one.put_back_login_attempt("source")).unwrap();
    assert!(take(1) && !take(0));
    if let Backend::Postgres(_) = &world.store.0 {
        assert_eq!(
            one.known_browser_key().unwrap(),
            other.known_browser_key().unwrap()
        );
    }
}

#[test]
fn the_session_that_was_idle_longest_ends() {
    let world = TestStore::new();
    for number in 0..=sessions::MAX_SESSIONS {
        wait(world.store.start_session(&number.to_string(), "csrf")).unwrap();
    }
    assert_eq!(wait(world.store.use_session("0")).unwrap(), None);
    assert!(wait(world.store.use_session("1")).unwrap().is_some());
}
