//! The page in a real browser: on a phone, for a screen reader, and with hostile names in the data.

#![allow(clippy::unwrap_used)]

mod common;

use common::browsing::World;
use common::device::Device;
use common::sign;
use common::webdriver::Browser;
use serde_json::{Value, json};

/// Names that would have an effect if they were not shown as text.
const HOSTILE: [&str; 6] = [
    "<script>window.hurt = 1; document.title = 'hurt'; alert(1)</script>",
    "\"><img src=x onerror=\"window.hurt = 1; alert(1)\">",
    "'><svg onload='window.hurt = 1'><iframe srcdoc='<script>parent.hurt = 1</script>'>",
    "</td></tr></table></main></body><form action=http://127.0.0.1:9/><input name=password><!--",
    "&lt;b&gt;&#60;script&#62;",
    BIDIRECTIONAL,
];
/// No import accepts it in a hardware-id any more, but older databases have such ones.
const BIDIRECTIONAL: &str = "right \u{202e}ot tfel\u{2067} \u{200b}and {{7*7}} ${7*7} <%= 7*7 %>";
const PLACEHOLDER: &str = "left and right";

/// Returns true if the second of two names in a cell is behind or below the first, whatever the
/// writing direction of the first.
const IN_THEIR_ORDER: &str = "return [...document.querySelectorAll('td:nth-child(2)')].every(cell => {
    const [one, other] = [...cell.querySelectorAll('bdi')].map(name => name.getBoundingClientRect());
    return other.left >= one.right || other.top >= one.bottom;
})";

/// Identities, registrations and a report with all the hostile names in them.
fn fill_with_hostile_names(world: &World) -> String {
    let identity = |hardware_id: &str, name: &str| {
        let changes = json!({ "hardware-id": hardware_id, "manufacturer": name });
        Device::fresh("").identity_with(changes)
    };
    let imported = |name: &&str| identity(&name.replace(BIDIRECTIONAL, PLACEHOLDER), name);
    world
        .bench
        .import_text(&HOSTILE.iter().map(imported).collect::<Vec<_>>().join("\n"));
    let identities = world.bench.imported("identities");
    world.bench.execute(&format!(
        "UPDATE {identities} SET hardware_id = '{BIDIRECTIONAL}' WHERE hardware_id = '{PLACEHOLDER}'"
    ));
    let device = Device::new("p256");
    for name in HOSTILE {
        let nonce = world.service.nonce();
        let mut statement = device.statement(&nonce, name);
        statement["brand-id"] = name.into();
        let request = sign(statement, "device");
        let answer = world
            .service
            .serial(&format!("{request}\n{}", common::model("edge-box")));
        assert!([400, 403].contains(&answer.status), "{answer:?}");
    }
    let refused = identity(HOSTILE[0], HOSTILE[0]).replace("edge-box", "other-box");
    let identities = HOSTILE.iter().map(|name| identity(name, name));
    identities.chain([refused]).collect::<Vec<_>>().join("\n")
}

/// Fails if the data has created elements of the page.
#[track_caller]
fn nothing_was_injected(browser: &Browser, title: &str) {
    assert_eq!(browser.dialogue(), None);
    assert_eq!(browser.title(), format!("{title} · model service"));
    assert_eq!(browser.run("return window.hurt === undefined"), true);
    let foreign = "script:not([src='/copy.js']), img, svg, iframe, b, main form form, input[name=password], [onerror], [onload]";
    assert_eq!(browser.find_all(foreign).len(), 0, "{title}");
    assert!(
        !browser.find_all("body > main > table tr td").is_empty(),
        "{title}"
    );
}

/// The text of all elements that match a CSS selector, character for character.
fn contents(browser: &Browser, selector: &str) -> Vec<String> {
    let text = |value: Value| value.as_str().unwrap().to_owned();
    let found = browser.find_all(selector);
    found
        .iter()
        .map(|element| text(element.property("textContent")))
        .collect()
}

#[test]
fn hostile_names_are_text() {
    let world = World::logged_in();
    let browser = &world.browser;
    // The policy that forbids scripts would hide a script in the page.
    browser.devtools("Page.setBypassCSP", json!({ "enabled": true }));
    browser.open("data:text/html,<script>window.hurt = 1</script>");
    assert_eq!(browser.run("return window.hurt"), 1, "scripts do not run at all");
    let report = fill_with_hostile_names(&world);
    let newest_first: Vec<_> = HOSTILE.iter().rev().copied().collect();

    world.open("/identities");
    nothing_was_injected(browser, "Identities");
    assert_eq!(contents(browser, "tbody th"), newest_first);
    assert_eq!(browser.run(IN_THEIR_ORDER), true);
    for name in HOSTILE {
        world.search(name);
        nothing_was_injected(browser, "Identities");
        assert_eq!(browser.find("input[type=search]").property("value"), name);
        assert_eq!(contents(browser, "tbody th"), [name]);
    }
    world.open("/registrations");
    nothing_was_injected(browser, "Registrations");
    assert_eq!(contents(browser, "td:nth-child(3)"), newest_first);
    world.upload(&report);
    nothing_was_injected(browser, "Import");
    let refused_first = [&[BIDIRECTIONAL, HOSTILE[0]], &HOSTILE[..HOSTILE.len() - 1]].concat();
    assert_eq!(contents(browser, "td:nth-child(2)"), refused_first);
}

/// Every page with data; the last one is the report of an import.
fn each_page(world: &World, mut look: impl FnMut(&str)) {
    let long = "W".repeat(3000);
    let report = fill_with_hostile_names(world);
    let changes = json!({ "hardware-id": long, "manufacturer": long });
    let identity = Device::fresh("").identity_with(changes);
    world.service.nonce();
    for path in [
        "/",
        "/identities",
        &format!("/identities?q={long}"),
        "/identities?q=%22%3E",
        "/registrations",
        "/refusals",
        "/serials",
        "/nonces",
        "/import",
    ] {
        world.open(path);
        look(path);
    }
    world.upload(&identity);
    look("the report of an import");
    world.upload(&format!(
        "{report}\n{}",
        identity.replace("edge-box", "other-box")
    ));
    look("the report of a refused import");
    world.open("/identities");
    look("a long name");
    world.browser.find("header button").follow();
    look("/login");
    world.log_in("wrong");
    look("a wrong password");
}

#[test]
fn nothing_is_wider_than_the_window() {
    let world = World::logged_in();
    let cells = "return [...document.querySelectorAll('td > div')].every(cell => cell.scrollWidth <= cell.clientWidth)";
    each_page(&world, |page| {
        // A phone, and both sides of the width at which cards become a table.
        for width in [360, 950, 980, 1400] {
            world.browser.resize(width);
            let content = world.browser.run("return document.documentElement.scrollWidth");
            let content = content.as_u64().unwrap();
            assert!(content <= width.into(), "{page} is {content} px wide for {width}");
            assert_eq!(world.browser.run(cells), true, "{page}, {width} px");
        }
    });
}

#[test]
fn a_screen_reader_can_use_the_page() {
    let world = World::logged_in();
    each_page(&world, |page| {
        for width in [1024, 360] {
            world.browser.resize(width);
            can_be_read_out(&world.browser, page);
        }
    });
}

/// Returns true if all tables have a caption, and a cell for each column in each row.
const ROWS_FIT: &str = "return [...document.querySelectorAll('table')].every(table =>
    table.caption?.textContent && [...table.rows].every(row => row.cells.length === table.rows[0].cells.length))";

#[track_caller]
fn can_be_read_out(browser: &Browser, page: &str) {
    assert_eq!(browser.find("html").property("lang"), "en");
    assert!(
        browser.title().ends_with(" · model service"),
        "{page}: {}",
        browser.title()
    );
    assert_eq!(browser.find_all("h1").len(), 1, "{page}");
    assert_eq!(browser.find("main").role(), "main");
    for control in browser.find_all("input:not([type=hidden]), button, a") {
        assert_ne!(
            control.label(),
            "",
            "{page} has a {} that nothing is said of",
            control.role()
        );
    }
    browser.run("document.querySelectorAll('details').forEach(part => part.open = true)");
    assert_eq!(browser.run(ROWS_FIT), true, "{page}");
    for (selector, role) in [
        ("table", "table"),
        ("thead th", "columnheader"),
        ("tbody tr:first-child > th", "rowheader"),
        ("tbody tr:first-child > td", "cell"),
    ] {
        let elements = browser.find_all(selector);
        assert!(
            elements.iter().all(|element| element.role() == role),
            "{page}: {role}"
        );
    }
}
