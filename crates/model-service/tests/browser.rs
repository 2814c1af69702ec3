//! The page in a real browser: what people do there, with scripts and without.

#![allow(clippy::unwrap_used)]

mod common;

use common::PASSWORD;
use common::browsing::World;
use common::device::Device;
use common::webdriver::Browser;
use serde_json::json;

#[test]
fn logging_in_and_out() {
    let world = World::new();
    world.open("/registrations");
    world.is_at("/login");
    world.log_in("the wrong password");
    world.shows_error("password-wrong");
    world.open("/");
    world.is_at("/login");
    world.log_in(PASSWORD);
    world.is_at("/");
    assert_eq!(world.browser.texts("h1"), ["Overview"]);
    world.browser.find("header button").follow();
    world.is_at("/login");
    world.open("/import");
    world.is_at("/login");
}

#[test]
fn searching_and_paging() {
    let world = World::logged_in();
    world.open("/identities");
    assert_eq!(world.browser.find_all("table").len(), 0);
    let identities: Vec<_> = (0..60)
        .map(|index| Device::fresh(&format!("unit-{index:02}")).identity())
        .collect();
    world.bench.import_text(&identities.join("\n"));
    let names = |from: usize, to: usize| -> Vec<String> {
        (from..=to)
            .rev()
            .map(|index| format!("unit-{index:02}"))
            .collect()
    };
    world.open("/identities");
    assert_eq!(world.first_cells(), names(10, 59));
    world.browser.find("a[rel=next]").follow();
    assert_eq!(world.first_cells(), names(0, 9));
    assert_eq!(world.browser.find_all("a[rel=next]").len(), 0);

    world.search("UNIT-4");
    assert_eq!(world.first_cells(), names(40, 49));
    assert_eq!(
        world.browser.find("input[type=search]").property("value"),
        "UNIT-4"
    );
    world.search("unit");
    world.browser.find("a[rel=next]").follow();
    assert_eq!(world.first_cells(), names(0, 9));
    world.search("no such thing");
    assert_eq!(world.browser.find_all(".empty").len(), 1);
    assert_eq!(world.browser.find_all("table").len(), 0);
}

#[test]
fn importing_a_file() {
    let world = World::logged_in();
    let (one, other) = (Device::new("p256"), Device::new("p384"));
    let identity = one.identity();
    world.upload(&identity);
    assert_eq!(world.browser.find_all("[role=status]").len(), 1);
    assert_eq!(world.counts(), [1, 0, 0, 0, 0]);
    world.upload(&format!("{identity}\n{}", other.identity()));
    assert_eq!(world.counts(), [1, 0, 1, 0, 0]);
    let outcomes = world.browser.texts("tbody tr");
    assert!(
        outcomes[0].contains("p256") && outcomes[0].contains("present"),
        "{outcomes:?}"
    );
    assert!(
        outcomes[1].contains("p384") && outcomes[1].contains("new"),
        "{outcomes:?}"
    );

    let forged = one
        .identity_with(json!({ "revision": "1" }))
        .replace("Acme", "Bcme");
    world.upload(&format!("{}\n{forged}", Device::new("rsa2048").identity()));
    world.shows_error("import-refused");
    assert_eq!(world.counts(), [1, 0, 0, 0, 1]);
    let outcomes = world.browser.texts("tbody tr");
    assert!(
        outcomes[0].contains("refused") && outcomes[0].contains("[signature-wrong]"),
        "{outcomes:?}"
    );
    world.open("/identities");
    assert_eq!(world.first_cells(), ["p384", "p256"]);
}

#[test]
fn registrations_and_nonces() {
    let world = World::logged_in();
    let device = Device::new("p256");
    device
        .register(&world.service, "SN-1")
        .refused(403, "identity-unknown");
    world.bench.import_text(&device.identity());
    device.accepts(&device.register(&world.service, "SN-2"));
    device.accepts(&device.register(&world.service, "SN-2"));
    world.browser.find("nav a[href='/registrations']").follow();
    let rows = world.browser.texts("tbody tr");
    assert_eq!(rows.len(), 3);
    for (row, serial, outcome) in [
        (0, "SN-2", "repeated"),
        (1, "SN-2", "issued"),
        (2, "SN-1", "identity-unknown"),
    ] {
        for part in [serial, outcome, "brand-acme/edge-box", "127.0.0.1"] {
            assert!(rows[row].contains(part), "{part}: {}", rows[row]);
        }
    }

    let nonce = world.service.nonce();
    world.browser.find("nav a[href='/nonces']").follow();
    let row = &world.browser.texts("tbody tr")[0];
    assert!(row.contains(&nonce[..12]) && !row.contains(&nonce), "{row}");
}

#[test]
fn everything_works_without_scripts() {
    let world = World::with(Browser::without_scripts());
    let control = "data:text/html,<title>before</title><script>document.title = 'after'</script>";
    world.browser.open(control);
    assert_eq!(world.browser.title(), "before", "scripts run");
    world.log_in("the wrong password");
    world.shows_error("password-wrong");
    world.log_in(PASSWORD);
    world.upload(&format!(
        "{}\n{}",
        Device::new("p256").identity(),
        Device::new("p384").identity()
    ));
    assert_eq!(world.counts(), [2, 0, 0, 0, 0]);
    assert_eq!(world.browser.find_all("tbody tr").len(), 2);
    world.browser.find("nav a[href='/identities']").follow();
    world.search("p38");
    assert_eq!(world.first_cells(), ["p384"]);
    world.browser.find("header button").follow();
    world.is_at("/login");
}

#[test]
fn digests_are_cut_and_can_be_copied() {
    let world = World::logged_in();
    let device = Device::new("p256");
    let digest = device.digest();
    world.bench.import_text(&device.identity());
    let permissions = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    world.browser.devtools("Browser.grantPermissions", permissions);
    world.open("/identities");
    let browser = &world.browser;
    assert_eq!(
        browser.find("td a code").text(),
        format!("{}…{}", &digest[..8], &digest[58..])
    );
    browser.find("button.copy").click();
    let clipboard = "navigator.clipboard.readText().then(arguments[0])";
    assert_eq!(browser.run_async(clipboard), digest.as_str());
    browser.find("td a[href^='/identity?']").follow();
    assert_eq!(browser.texts("h1"), ["Identity"]);

    // All of it can be selected without scripts.
    let world = World::with(Browser::without_scripts());
    world.bench.import_text(&device.identity());
    world.log_in(PASSWORD);
    world.open("/identities");
    assert_eq!(world.browser.find_all("button.copy").len(), 0);
    world.browser.find("td summary").click();
    assert_eq!(world.browser.find("td details code").text(), digest);
}

#[test]
fn a_keyboard_reaches_everything_and_shows_where_it_is() {
    let world = World::logged_in();
    world.bench.import_text(&Device::new("p256").identity());
    world.open("/identities");
    let browser = &world.browser;
    let controls = browser.find_all("a, button, summary, select, input:not([type=hidden])");
    let focused = "const now = document.activeElement; now.dataset.reached = '';
        return getComputedStyle(now).outlineStyle !== 'none' && now !== document.body";
    // A field for a day has four stops.
    for stop in 0..controls.len() + 6 {
        browser.press_tab();
        assert_eq!(browser.run(focused), true, "stop {stop}");
        if browser.find_all("[data-reached]").len() == controls.len() {
            return;
        }
    }
    let missed =
        "return [...document.querySelectorAll('a, button, summary, select, input:not([type=hidden])')]
        .filter(one => one.dataset.reached === undefined).map(one => one.outerHTML)";
    panic!("not reached: {}", browser.run(missed));
}
