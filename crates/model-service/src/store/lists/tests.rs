//! Lists and statistics of a small store.

use super::*;
use crate::store::tests::TestStore;
use crate::store::{
    Authorship, ChangeKind, IdentityRecord, ImportOrigin, IssuedSerial, LogEntry, NonceKind, SerialNumber,
    Store, StoredCounts, TimeRange, identity_device,
};

struct World {
    store: Store,
    _kept: TestStore,
}

/// The day of the first import.
const MONDAY: i64 = 20_000 * 86_400;

impl World {
    /// The identities `a` and `b` of the first import and `c` of the second one. `a` has a serial, `b`
    /// had one and is blocked.
    fn new() -> Self {
        let kept = TestStore::new();
        let world = Self {
            store: kept.store.clone(),
            _kept: kept,
        };
        world.import(MONDAY, "lot-1.assert", &["a", "b"]);
        world.import(MONDAY + 86_400, "lot-2.assert", &["c"]);
        world.issue("1", "a", MONDAY + 10);
        world.issue("2", "b", MONDAY + 86_400);
        world.refuse("model-unknown", "x", MONDAY + 20);
        world.refuse("nonce-used", "b", MONDAY + 86_401);
        world.refuse("nonce-used", "c", MONDAY + 86_402);
        let store = &world.store;
        store.block_identity("text-b", MONDAY, authorship()).unwrap();
        store.release_serial(&number("2"), authorship()).unwrap();
        world
    }

    fn import(&self, now: i64, name: &str, keys: &[&str]) {
        let transaction = self.store.begin_import(now).unwrap();
        for key in keys {
            let identity = IdentityRecord {
                issuer: "acme".to_owned(),
                digest: format!("text-{key}"),
                key_digest: format!("der-{key}"),
                revision: 0,
                hardware_id: format!("ID-{}", key.to_uppercase()),
                hardware_name: "edge_box".to_owned(),
                manufacturer: "Acme 100%".to_owned(),
                assertion: format!("assertion {key}"),
            };
            transaction.upsert_identities(&[identity]).unwrap();
        }
        let counts = StoredCounts {
            new: keys.len() as u64,
            replaced: 0,
            present: 0,
            older: 0,
        };
        let origin = ImportOrigin::new("token factory".to_owned(), name);
        transaction.commit(counts, &origin).unwrap();
    }

    fn entry(&self, serial: &str, key: &str, time: i64, outcome: &str) -> LogEntry {
        LogEntry {
            time,
            brand: "brand".to_owned(),
            model: "model".to_owned(),
            serial: serial.to_owned(),
            device: format!("text-{key}"),
            outcome: outcome.to_owned(),
            ..LogEntry::default()
        }
    }

    fn issue(&self, serial: &str, key: &str, time: i64) {
        let issued = IssuedSerial {
            number: number(serial),
            device: identity_device(&format!("der-{key}")),
            revision: 0,
            device_key: format!("device-key-{key}"),
            sign_key: "sign-key".to_owned(),
            assertion: format!("serial {serial}"),
        };
        let entry = self.entry(serial, key, time, "issued");
        self.store.record_issue(issued, entry, 100).unwrap();
    }

    fn refuse(&self, code: &str, key: &str, time: i64) {
        let entry = self.entry("", key, time, code);
        self.store.log_registration(entry, 100).unwrap();
    }
}

fn number(serial: &str) -> SerialNumber {
    SerialNumber {
        brand: "brand".to_owned(),
        model: "model".to_owned(),
        serial: serial.to_owned(),
    }
}

fn authorship() -> Authorship {
    Authorship::new("token support".to_owned(), "stolen").unwrap()
}

fn exactly(count: u64) -> Total {
    Total { count, exact: true }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

fn first(limit: u32) -> PageRequest {
    PageRequest {
        after: None,
        limit,
        counted: true,
    }
}

#[test]
fn identities_are_filtered() {
    let world = World::new();
    let since = |since| TimeRange {
        since: Some(since),
        until: None,
    };
    let any = IdentityFilter::default;
    let text = |text: &str| IdentityFilter {
        text: Some(text.to_owned()),
        ..any()
    };
    for (filter, expected) in [
        (any(), "cba"),
        (text("id-b"), "b"),
        (text("100%"), "cba"),
        (text("e_b"), "cba"),
        (text("e%b"), ""),
        (
            IdentityFilter {
                blocked: Some(true),
                ..any()
            },
            "b",
        ),
        (
            IdentityFilter {
                blocked: Some(false),
                ..any()
            },
            "ca",
        ),
        (
            IdentityFilter {
                registered: Some(true),
                ..any()
            },
            "a",
        ),
        (
            IdentityFilter {
                registered: Some(false),
                ..any()
            },
            "cb",
        ),
        (
            IdentityFilter {
                lot: Some(1),
                ..any()
            },
            "ba",
        ),
        (
            IdentityFilter {
                imported: since(MONDAY + 1),
                ..any()
            },
            "c",
        ),
        (
            IdentityFilter {
                issuer: Some("acme".to_owned()),
                lot: Some(2),
                ..text("c")
            },
            "c",
        ),
        (
            IdentityFilter {
                hardware_name: Some("edge".to_owned()),
                ..any()
            },
            "",
        ),
    ] {
        let description = format!("{filter:?}");
        let found = wait(world.store.list_identities(filter, first(10))).unwrap();
        let keys: String = found
            .rows
            .iter()
            .map(|row| &row.digest["text-".len()..])
            .collect();
        assert_eq!(keys, expected, "{description}");
        assert_eq!(found.total, exactly(expected.len() as u64), "{description}");
    }
}

#[test]
fn pages_follow_each_other_whatever_is_stored_meanwhile() {
    let world = World::new();
    let list = |page| wait(world.store.list_identities(IdentityFilter::default(), page)).unwrap();
    let page = list(first(2));
    assert_eq!(
        (page.rows.len(), page.total, page.before),
        (2, exactly(3), exactly(0))
    );
    world.import(MONDAY + 2 * 86_400, "lot-3.assert", &["d"]);
    let next = list(PageRequest {
        after: page.next,
        limit: 2,
        counted: true,
    });
    assert_eq!(next.rows[0].digest, "text-a");
    assert_eq!(
        (next.rows.len(), next.total, next.before),
        (1, exactly(4), exactly(3))
    );
    assert!(next.next.is_none());
}

#[test]
fn rows_are_counted_only_on_request() {
    let world = World::new();
    let list = |after, counted| {
        let page = PageRequest {
            after,
            limit: 1,
            counted,
        };
        wait(world.store.list_identities(IdentityFilter::default(), page)).unwrap()
    };
    let mut after = None;
    loop {
        let (counted, uncounted) = (list(after, true), list(after, false));
        assert_eq!(counted.rows[0].digest, uncounted.rows[0].digest);
        assert_eq!(counted.next, uncounted.next);
        assert_eq!((counted.total, uncounted.total), (exactly(3), Total::UNKNOWN));
        assert_eq!(uncounted.before, Total::UNKNOWN);
        if counted.next.is_none() {
            break;
        }
        after = counted.next;
    }
}

#[test]
fn registrations_are_filtered_and_grouped() {
    let world = World::new();
    let any = RegistrationFilter::default;
    let refused = || RegistrationFilter {
        class: Some(OutcomeClass::Refused),
        ..any()
    };
    for (filter, expected) in [
        (any(), 5),
        (refused(), 3),
        (
            RegistrationFilter {
                outcome: Some("nonce-used".to_owned()),
                ..any()
            },
            2,
        ),
        (
            RegistrationFilter {
                lot: Some(1),
                ..refused()
            },
            1,
        ),
        (
            RegistrationFilter {
                serial: Some("1".to_owned()),
                model: Some("model".to_owned()),
                ..any()
            },
            1,
        ),
        (
            RegistrationFilter {
                device: Some("text-b".to_owned()),
                ..any()
            },
            2,
        ),
        (
            RegistrationFilter {
                brand: Some("other".to_owned()),
                ..any()
            },
            0,
        ),
    ] {
        let description = format!("{filter:?}");
        let found = wait(world.store.list_registrations(filter, first(10))).unwrap();
        assert_eq!(found.rows.len(), expected, "{description}");
    }
    let groups = wait(world.store.refusals_by_code(any())).unwrap();
    let groups: Vec<_> = groups
        .iter()
        .map(|group| (group.code.as_str(), group.count, group.last))
        .collect();
    assert_eq!(
        groups,
        [
            ("nonce-used", 2, MONDAY + 86_402),
            ("model-unknown", 1, MONDAY + 20)
        ]
    );
    assert!(wait(world.store.find_registration(1)).unwrap().is_some());
    assert!(wait(world.store.find_registration(9)).unwrap().is_none());
}

#[test]
fn serials_are_listed_once_with_their_history() {
    let world = World::new();
    let any = SerialFilter::default;
    let device = Some(identity_device("der-a"));
    for (filter, expected) in [
        (any(), "21"),
        (
            SerialFilter {
                held: Some(true),
                ..any()
            },
            "1",
        ),
        (
            SerialFilter {
                held: Some(false),
                ..any()
            },
            "2",
        ),
        (
            SerialFilter {
                serial: Some("2".to_owned()),
                ..any()
            },
            "2",
        ),
        (SerialFilter { device, ..any() }, "1"),
        (
            SerialFilter {
                brand: Some("other".to_owned()),
                ..any()
            },
            "",
        ),
    ] {
        let description = format!("{filter:?}");
        let found = wait(world.store.list_serials(filter, first(10))).unwrap();
        let serials: String = found.rows.iter().map(|row| row.number.serial.as_str()).collect();
        assert_eq!(serials, expected, "{description}");
    }
    let history = wait(world.store.serial_history(&number("2"))).unwrap().unwrap();
    assert_eq!((history.device, history.assertions.len()), (None, 1));
    assert_eq!(history.assertions[0].time, MONDAY + 86_400);
    assert_eq!(history.changes[0].kind, ChangeKind::SerialReleased);
    assert!(wait(world.store.serial_history(&number("9"))).unwrap().is_none());
    let history = wait(world.store.identity_history("der-b")).unwrap();
    let kinds: Vec<_> = history.changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::SerialReleased, ChangeKind::IdentityBlocked]);
    assert_eq!(history.changes[1].by, "token support");
    assert_eq!(history.assertions[0].lot, 1);
}

#[test]
fn nonces_are_listed_by_status() {
    let world = World::new();
    for nonce in ["nonce-1-with-a-secret", "nonce-2-with-a-secret"] {
        wait(world.store.issue_nonce(NonceKind::Registration, nonce, 600, 100)).unwrap();
    }
    world
        .store
        .consume_nonce(NonceKind::Registration, "nonce-1-with-a-secret", 1)
        .unwrap();
    wait(
        world
            .store
            .issue_nonce(NonceKind::Registration, "expired", 0, 100),
    )
    .unwrap();
    for (status, expected) in [
        (None, vec!["expired", "nonce-2-with", "nonce-1-with"]),
        (Some(NonceStatus::Open), vec!["nonce-2-with"]),
        (Some(NonceStatus::Used), vec!["nonce-1-with"]),
        (Some(NonceStatus::Expired), vec!["expired"]),
    ] {
        let found = wait(world.store.list_nonces(NonceFilter { status }, first(10))).unwrap();
        let beginnings: Vec<_> = found.rows.iter().map(|row| row.beginning.as_str()).collect();
        assert_eq!(beginnings, expected, "{status:?}");
        assert!(
            found
                .rows
                .iter()
                .all(|row| status.is_none_or(|status| row.status == status))
        );
    }
    let page = wait(world.store.list_nonces(NonceFilter::default(), first(1))).unwrap();
    let next = PageRequest {
        after: page.next,
        limit: 1,
        counted: true,
    };
    let next = wait(world.store.list_nonces(NonceFilter::default(), next)).unwrap();
    assert_eq!(
        (next.rows[0].beginning.as_str(), next.before.count),
        ("nonce-2-with", 1)
    );
}

#[test]
fn imports_and_statistics() {
    let world = World::new();
    let found = wait(world.store.list_imports(ImportFilter::default(), first(10))).unwrap();
    let imports: Vec<_> = found
        .rows
        .iter()
        .map(|row| (row.number, row.name.as_str(), row.new))
        .collect();
    assert_eq!(imports, [(2, "lot-2.assert", 1), (1, "lot-1.assert", 2)]);
    assert_eq!(
        wait(world.store.find_import(2)).unwrap().unwrap().by,
        "token factory"
    );
    let counts = wait(world.store.counts()).unwrap();
    assert_eq!((counts.identities, counts.blocked, counts.imports), (3, 1, 2));
    assert_eq!(
        (counts.serials, counts.assertions, counts.logged, counts.refused),
        (1, 2, 5, 3)
    );
    let days = wait(world.store.registrations_per_day(MONDAY + 86_400 + 50, 3)).unwrap();
    let days: Vec<_> = days
        .iter()
        .map(|day| (day.day - MONDAY, day.issued, day.refused))
        .collect();
    assert_eq!(days, [(-86_400, 0, 0), (0, 1, 1), (86_400, 1, 2)]);
}

#[test]
fn a_cursor_is_read_again_and_others_are_refused() {
    for id in [0, 1, i64::MAX] {
        assert_eq!(Cursor::parse(&Cursor(id).to_string()).unwrap(), Cursor(id));
    }
    for other in ["", "1", "AAAAAAAAAAAAAAAAAAAA", "ä"] {
        assert!(Cursor::parse(other).is_err(), "{other}");
    }
}

#[test]
fn characters_with_a_meaning_in_a_pattern_are_escaped() {
    assert_eq!(containing(r"A%b_c\"), r"%a\%b\_c\\%");
}
