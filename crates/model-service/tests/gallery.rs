//! Every page in a real browser, as people see it: on a screen and on a phone, light and dark, empty
//! and with the data of a fleet. Pictures of all are in `target/screenshots`.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::axe;
use common::browsing::World;
use common::device::Device;
use common::page::Visitor;
use common::parallel::{THREADS, parallel};

/// Identities in the fleet, and those that have registered.
const FLEET: usize = 5000;
const REGISTERED: usize = 60;

/// Elements that reach beyond the window, except those that are only read out.
const TOO_WIDE: &str = "return [...document.body.querySelectorAll('*')].filter(element => {
    const box = element.getBoundingClientRect();
    const hidden = element.closest('thead')?.getBoundingClientRect().width === 1;
    return !hidden && box.right > innerWidth + 1;
}).map(element => element.outerHTML.slice(0, 120))";

/// The pages in the menu.
const MENU: [&str; 7] = [
    "/",
    "/identities",
    "/registrations",
    "/refusals",
    "/serials",
    "/nonces",
    "/import",
];

#[test]
fn without_data() {
    let world = World::new();
    world.open("/login");
    look(&world, "empty", "login");
    world.log_in("wrong");
    look(&world, "empty", "login-refused");
    world.log_in(common::PASSWORD);
    for path in MENU {
        world.open(path);
        look(&world, "empty", name(path));
    }
    for (path, name) in [
        ("/identities?q=nothing", "no-match"),
        ("/identities?lot=x", "filter-refused"),
        ("/identity?digest=unknown", "identity-unknown"),
    ] {
        world.open(path);
        look(&world, "empty", name);
    }
}

#[test]
fn with_a_fleet() {
    let world = World::logged_in();
    let (devices, identities) = import_fleet(&world);
    register(&world, &devices);
    for path in MENU {
        world.open(path);
        look(&world, "fleet", name(path));
    }
    // More than are read at a time.
    let file = Visitor::log_in(&world.service).get("/identities.csv").body;
    let lines: HashSet<_> = file.lines().collect();
    assert_eq!((lines.len(), file.lines().count()), (FLEET + 1, FLEET + 1));
    world.open("/identities");
    world.browser.find("a[rel=next]").follow();
    world.browser.find("tbody tr:first-child summary").click();
    look(&world, "fleet", "identities-next");
    world.open(&format!("/identity?digest={}", devices[0].digest()));
    look(&world, "fleet", "identity");
    for summary in world.browser.find_all("summary") {
        summary.click();
    }
    look(&world, "fleet", "identity-open");
    world.open("/serials?state=released");
    world.browser.find("tbody th a").follow();
    look(&world, "fleet", "serial");
    let lot = [&identities[..60], &[Device::fresh("EB-2026-90000").identity()]].concat();
    world.upload(&lot.join("\n"));
    look(&world, "fleet", "import-report");
    world.upload(&lot.join("\n").replace("Acme", "Bcme"));
    look(&world, "fleet", "import-refused");
}

/// Imports the identities of new devices in three lots.
fn import_fleet(world: &World) -> (Vec<Device>, Vec<String>) {
    let numbers: Vec<_> = (0..FLEET).collect();
    let mut fleet = parallel(*THREADS, &numbers, |number| {
        let device = Device::fresh(&format!("EB-2026-{number:05}"));
        let identity = device.identity();
        (device, identity)
    });
    fleet.sort_by(|(one, _), (other, _)| one.hardware_id.cmp(&other.hardware_id));
    let (devices, identities): (Vec<_>, Vec<_>) = fleet.into_iter().unzip();
    for lot in identities.chunks(FLEET / 2 - 100) {
        world.bench.import_text(&lot.join("\n"));
    }
    (devices, identities)
}

/// Some devices register, some are refused. The first one has a history.
fn register(world: &World, devices: &[Device]) {
    for device in &devices[..REGISTERED] {
        let serial = device.hardware_id.replace("EB-2026", "SN");
        let answer = device.register(&world.service, &serial);
        device.accepts(&answer);
        device.register(&world.service, &serial);
    }
    for device in &devices[REGISTERED..REGISTERED + 20] {
        device
            .register(&world.service, "SN-00000")
            .refused(409, "serial-taken");
    }
    for number in 0..10 {
        let unknown = Device::fresh(&format!("EB-2025-{number:05}"));
        unknown
            .register(&world.service, "SN-1")
            .refused(403, "identity-unknown");
    }
    // Registrations of today become those of a month.
    for table in ["registrations", "issued"] {
        world.bench.execute(&format!(
            "UPDATE {table} SET time = time - 86400 * (id * id % 29)"
        ));
    }
    world.service.nonce();
    let first = &devices[0];
    world.open(&format!("/identity?digest={}", first.digest()));
    world.give_reason("stolen on the way to the customer, ticket 17");
    world.give_reason("found again, ticket 17");
    world.open("/serials?serial=SN-00001");
    world.browser.find("tbody th a").follow();
    world.give_reason("the device was replaced");
    world.open(&format!("/identity?digest={}", devices[2].digest()));
    world.give_reason("its key was seen elsewhere");
}

/// Looks at the page at both widths and in both colour schemes.
fn look(world: &World, data: &str, name: &str) {
    let directory = screenshots();
    for width in [1280, 390] {
        world.browser.resize(width);
        for scheme in ["light", "dark"] {
            world.browser.prefer(scheme);
            let view = format!("{data}-{name}-{width}-{scheme}");
            world.browser.take_picture(&directory.join(format!("{view}.png")));
            let wide = world.browser.run(TOO_WIDE);
            assert_eq!(wide.as_array().map(Vec::len), Some(0), "{view}: {wide}");
            axe::finds_nothing(&world.browser, &view);
        }
    }
}

fn screenshots() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let directory = target.join("screenshots");
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// The name of a page in the name of a file.
fn name(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => "overview",
        name => name,
    }
}
