//! The page of the lot in a browser: on a screen and on a phone, light and dark.

use std::fs;
use std::path::{Path, PathBuf};

use crate::axe;
use crate::device::{Ca, LineDevice};
use crate::line::{FactoryLine, PASSWORD};
use crate::succeeded;
use crate::webdriver::Browser;

/// Elements that reach beyond the window, except those that are only read out.
const TOO_WIDE: &str = "return [...document.body.querySelectorAll('*')].filter(element => {
    const box = element.getBoundingClientRect();
    const hidden = element.closest('thead')?.getBoundingClientRect().width === 1;
    return !hidden && box.right > innerWidth + 1;
}).map(element => element.outerHTML.slice(0, 120))";

#[test]
fn the_page_shows_the_lot() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let line = FactoryLine::new(&ca);
    let lot: Vec<_> = (1..=300).map(|number| format!("SN-{number}")).collect();
    fs::write(line.path("lot"), lot.join("\n")).unwrap();
    let station = line.serve(&FactoryLine::signing(&[
        "--ek-roots",
        "roots",
        "--expect",
        "lot",
        "--page-password-file",
        "password",
    ]));
    let browser = Browser::start();
    browser.open(&station.address);
    assert!(!source(&browser).contains("Expected"), "without a password");
    let address = station
        .address
        .replace("https://", &format!("https://line:{PASSWORD}@"));
    browser.open(&format!("{address}/"));
    look(&browser, "empty");
    assert_eq!(figures(&browser), ["300", "0", "300", "0", "0"]);

    succeeded(&line.prove(&station, &device, &[]));
    let mut strange = LineDevice::uncertified("<b>SN-2</b>");
    assert_eq!(line.prove(&station, &strange, &[]).status.code(), Some(1));
    strange.id = "SN-3".to_owned();
    assert_eq!(line.prove(&station, &strange, &[]).status.code(), Some(1));
    browser.find("a.reload").follow();
    look(&browser, "lot");
    assert_eq!(figures(&browser), ["300", "1", "299", "2", "1"]);
    let html = source(&browser);
    for text in [
        "SN-3",
        "ek-unproven",
        "hardware-id-not-expected",
        "&lt;b&gt;SN-2&lt;/b&gt;",
    ] {
        assert!(html.contains(text), "{text}: {html}");
    }
}

fn source(browser: &Browser) -> String {
    let source = browser.run("return document.documentElement.outerHTML");
    source.as_str().unwrap().to_owned()
}

fn figures(browser: &Browser) -> Vec<String> {
    browser.texts(".figures dd")
}

fn look(browser: &Browser, view: &str) {
    for width in [1280, 390] {
        browser.resize(width);
        for scheme in ["light", "dark"] {
            browser.prefer(scheme);
            let picture = format!("station-{view}-{width}-{scheme}.png");
            browser.take_picture(&screenshots().join(picture));
            let wide = browser.run(TOO_WIDE);
            assert_eq!(wide.as_array().map(Vec::len), Some(0), "{view}: {wide}");
            axe::finds_nothing(browser, view);
        }
    }
}

/// With those of the model service's pages.
fn screenshots() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let directory = target.join("screenshots");
    fs::create_dir_all(&directory).unwrap();
    directory
}
