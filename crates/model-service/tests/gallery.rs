//! Every page in a real browser, as people see it: on a screen and on a phone, light and dark, empty
//! and with the data of a fleet. Pictures of all are in `target/screenshots`.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::axe;
use common::browsing::World;
use common::device::Device;
use common::parallel::{THREADS, parallel};

/// Identities in the fleet.
const FLEET: usize = 5000;

/// Elements that reach beyond the window, except those that are only read out.
const TOO_WIDE: &str = "return [...document.body.querySelectorAll('*')].filter(element => {
    const box = element.getBoundingClientRect();
    return box.width > 1 && box.right > innerWidth + 1;
}).map(element => element.outerHTML.slice(0, 120))";

#[test]
fn without_data() {
    let world = World::new();
    look_at_all(&world, "empty", &["/login"]);
    world.log_in(common::PASSWORD);
    let pages = ["/", "/identities", "/registrations", "/nonces", "/import"];
    look_at_all(&world, "empty", &pages);
}

#[test]
fn with_a_fleet() {
    let world = World::logged_in();
    let numbers: Vec<_> = (0..FLEET).collect();
    let identities = parallel(*THREADS, &numbers, |number| {
        Device::fresh(&format!("EB-2026-{number:05}")).identity()
    });
    world.bench.import_text(&identities.join("\n"));
    let device = Device::fresh("EB-2026-90001");
    device.register(&world.service, "EB-90001").refused(403, "identity-unknown");
    world.bench.import_text(&device.identity());
    device.accepts(&device.register(&world.service, "EB-90001"));
    world.service.nonce();
    let identity = format!("/identity?digest={}", device.digest());
    let pages = ["/", "/identities", &identity, "/registrations", "/nonces"];
    look_at_all(&world, "fleet", &pages);
}

/// Looks at each page at both widths and in both colour schemes.
fn look_at_all(world: &World, data: &str, pages: &[&str]) {
    let directory = screenshots();
    for path in pages {
        world.open(path);
        for width in [1280, 390] {
            world.browser.resize(width);
            for scheme in ["light", "dark"] {
                world.browser.prefer(scheme);
                let name = name(path);
                let view = format!("{data}-{name}-{width}-{scheme}");
                world.browser.take_picture(&directory.join(format!("{view}.png")));
                let wide = world.browser.run(TOO_WIDE);
                assert_eq!(wide.as_array().map(Vec::len), Some(0), "{view}: {wide}");
                axe::finds_nothing(&world.browser, &view);
            }
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
    match path.split('?').next().unwrap().trim_start_matches('/') {
        "" => "overview",
        name => name,
    }
}
