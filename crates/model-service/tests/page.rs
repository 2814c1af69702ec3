//! The page, as a browser requests it.

#![allow(clippy::unwrap_used)]

mod common;

use std::any::Any;

use common::device::Device;
use common::http::{Answer, Request};
use common::page::{Visitor, log_in};
use common::postgres::Session;
use common::{Bench, PASSWORD, on_postgres};
use serde_json::json;

/// The script of the page, the only one.
const SCRIPT: &str = "<script src=\"/copy.js\" defer></script>";
const PAGES: [&str; 8] = [
    "/",
    "/identities",
    "/registrations",
    "/refusals",
    "/serials",
    "/nonces",
    "/import",
    "/serials/detail?brand=brand-acme&model=edge-box&serial=SN-1",
];
const HOSTILE: &str = "<script>alert(\"1\")</script>&'";
const ESCAPED: &str = "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;";

#[test]
fn nothing_is_shown_without_a_login() {
    let bench = Bench::new();
    let service = bench.serve();
    bench.import_text(&Device::new("p256").identity());
    for path in PAGES
        .into_iter()
        .chain(["/identities?q=p", "/identity", "/identities.csv"])
    {
        let forged = Request::get(path).header("cookie", "session=forged");
        for request in [Request::get(path), forged] {
            let answer = service.send(&request);
            assert_eq!(
                (answer.status, answer.header("location")),
                (303, Some("/login")),
                "{path}"
            );
            assert!(!answer.body.contains("p256"));
        }
    }
    let answer = service.send(&Request::post("/import", ""));
    assert_eq!(answer.header("location"), Some("/login"));
    assert_eq!(service.get("/login").status, 200);
}

#[test]
fn a_failure_of_the_database_is_not_shown_without_a_login() {
    // SQLite has sessions and attempts in the memory of the process.
    if !on_postgres() {
        return;
    }
    let bench = Bench::new();
    let service = bench.serve();
    bench.execute("DROP TABLE sessions; DROP TABLE login_attempts");
    let forged = Request::get("/").header("cookie", "session=forged");
    for answer in [service.send(&forged), log_in(&service, PASSWORD)] {
        assert_eq!(answer.status, 503);
        assert!(answer.body.contains("[unavailable]"), "{answer:?}");
        for detail in ["sessions", "login_attempts"] {
            assert!(!answer.body.contains(detail), "{answer:?}");
        }
    }
}

#[test]
fn a_wrong_password() {
    let bench = Bench::new();
    let service = bench.serve();
    for wrong in ["", "wrong", &PASSWORD[1..], &PASSWORD.to_uppercase()] {
        let answer = log_in(&service, wrong);
        assert_eq!((answer.status, answer.header("set-cookie")), (401, None));
        assert!(answer.body.contains("[password-wrong]"));
    }
    Visitor::log_in(&service);
}

#[test]
fn guessing_is_limited_and_known_browsers_can_still_log_in() {
    let bench = Bench::new();
    let service = bench.serve();
    let known = log_in(&service, PASSWORD);
    let known = known.headers.iter().filter(|(name, _)| name == "set-cookie");
    let known: Vec<_> = known.filter_map(|(_, value)| value.split(';').next()).collect();
    let [_, known] = known.as_slice() else {
        panic!("a cookie of the session and one of the browser: {known:?}");
    };
    let log_in_as = |cookie: &str, password: &str| {
        let request = Request::form("/login", &[("password", password)]);
        service.send(&request.header("cookie", cookie)).status
    };
    // Right passwords do not count as attempts.
    assert!((0..20).all(|_| log_in(&service, PASSWORD).status == 303));
    let guess = |cookie: &str| (0..11).map(|_| log_in_as(cookie, "wrong")).collect::<Vec<_>>();
    let answers = guess("");
    assert_eq!((answers[9], answers[10]), (401, 429), "{answers:?}");
    assert_eq!(log_in_as("", PASSWORD), 429, "the right password is a guess too");
    let name = known.split('.').next().unwrap();
    for forged in [
        "known=",
        "known=x.y",
        name,
        &format!("{known}x"),
        &known.to_uppercase(),
    ] {
        assert_eq!(log_in_as(forged, PASSWORD), 429, "{forged}");
    }
    assert_eq!(log_in_as(known, PASSWORD), 303);
    // A known browser has a limited number of attempts too.
    assert_eq!(guess(known).last(), Some(&429));
    assert_eq!(log_in_as(known, PASSWORD), 429);
}

#[test]
fn bodies_that_are_too_large_or_incomplete() {
    let bench = Bench::with("", "request-seconds = 1\nimport-body-bytes = 4000000");
    let service = bench.serve();
    assert_eq!(log_in(&service, &"x".repeat(100_000)).status, 413);
    let form = "application/x-www-form-urlencoded";
    let request = Request::post("/login", "password=")
        .header("content-type", form)
        .announced(100);
    let connection = std::net::TcpStream::connect(service.address).unwrap();
    let late = request.send_over(connection, |_| {});
    assert_eq!(late.status, 408);
    assert!(late.body.contains("[timeout]"), "{late:?}");
    // An upload has its own limit, from the settings.
    let visitor = Visitor::log_in(&service);
    let csrf = visitor.csrf();
    assert_eq!(visitor.upload(&csrf, &"x".repeat(3_900_000)).status, 422);
    assert_eq!(visitor.upload(&csrf, &"x".repeat(4_000_001)).status, 413);
}

#[test]
fn a_slow_answer_is_not_a_late_request() {
    let bench = Bench::with("", "answer-seconds = 1");
    let service = bench.serve();
    let visitor = Visitor::log_in(&service);
    let csrf = visitor.csrf();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    let digest = device.digest();
    let block = [
        ("csrf", csrf.as_str()),
        ("digest", &digest),
        ("action", "block"),
        ("reason", "lost"),
    ];
    // Only PostgreSQL has locks that readers wait for.
    let (lock, requests): (Box<dyn Any>, _) = match bench.url() {
        Some(url) => (
            Box::new(Session::begin(&url, "LOCK TABLE nonces, imports")),
            vec![Request::get("/nonces"), Request::get("/import")],
        ),
        None => (bench.lock_nonces(), vec![Request::form("/identity", &block)]),
    };
    for request in requests {
        let answer = visitor.send(request);
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.body.contains("[answer-timeout]"), "{answer:?}");
    }
    drop(lock);
}

#[test]
fn every_page_forbids_other_scripts_and_frames() {
    let bench = Bench::new();
    let service = bench.serve();
    let visitor = Visitor::log_in(&service);
    bench.import_text(&Device::new("p256").identity());
    let device = Device::new("p256");
    device.accepts(&device.register(&service, "SN-1"));
    for path in PAGES.into_iter().chain(["/login", "/style.css", "/copy.js"]) {
        let answer = visitor.get(path);
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.split("; ").any(|one| one == part), "{policy}");
        }
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(!answer.body.replace(SCRIPT, "").contains("<script"));
        assert!(!answer.body.contains(" style="));
        if !path.contains('.') {
            assert!(answer.body.contains("width=device-width"), "{path}");
            let product = format!("Model service {}", env!("CARGO_PKG_VERSION"));
            assert!(answer.body.contains(&product), "{path}");
        }
    }
}

#[test]
fn logging_out_ends_the_session() {
    let bench = Bench::new();
    let service = bench.serve();
    let visitor = Visitor::log_in(&service);
    let other = Visitor::log_in(&service);
    let refused = visitor.send(Request::form("/logout", &[("csrf", &other.csrf())]));
    assert_eq!(refused.status, 403);
    assert_eq!(visitor.get("/").status, 200);
    let csrf = visitor.csrf();
    assert_eq!(
        visitor.send(Request::form("/logout", &[("csrf", &csrf)])).status,
        303
    );
    assert_eq!(visitor.get("/").header("location"), Some("/login"));
    assert_eq!(other.get("/").status, 200);
}

#[test]
fn searching_and_paging() {
    let bench = Bench::new();
    let service = bench.serve();
    let visitor = Visitor::log_in(&service);
    assert!(!visitor.get("/identities").body.contains("<table"));
    let identities: Vec<_> = (0..120)
        .map(|index| Device::fresh(&format!("unit-{index:03}")).identity())
        .collect();
    bench.import_text(&identities.join("\n"));
    let pages = |page: &str| {
        let link = |rel: &str| {
            let link = page.split(&format!("rel=\"{rel}\" href=\"")).nth(1)?;
            Some(link.split('"').next().unwrap().replace("&amp;", "&"))
        };
        (link("prev"), link("next"))
    };
    let page = visitor.get("/identities").body;
    assert!(page.contains("unit-119") && page.contains("unit-070") && !page.contains("unit-069"));
    assert!(page.contains("1–50 of 120 identities"));
    let (previous, next) = pages(&page);
    assert_eq!(previous, None);
    let second = visitor.get(&next.unwrap()).body;
    assert!(second.contains("unit-069") && second.contains("unit-020") && !second.contains("unit-070"));
    assert!(second.contains("51–100 of 120 identities"));
    let (previous, next) = pages(&second);
    assert_eq!(previous.as_deref(), Some("/identities"));
    let third = visitor.get(&next.unwrap()).body;
    assert!(third.contains("101–120 of 120 identities") && third.contains("unit-000"));
    let (previous, next) = pages(&third);
    assert_eq!(next, None);
    let again = visitor.get(&previous.unwrap()).body;
    assert!(again.contains("51–100 of 120 identities") && again.contains("unit-069"));
    // In any column, upper or lower case.
    let found = |text: &str| {
        visitor
            .get(&format!("/identities?q={text}"))
            .body
            .matches("<div><bdi>unit-")
            .count()
    };
    assert_eq!(
        [
            found("UNIT-04"),
            found("unit-042"),
            found("acme"),
            found("nothing")
        ],
        [10, 1, 50, 0]
    );
    assert_eq!(found("%25"), 0, "no wildcards");
    let (_, next) = pages(&visitor.get("/identities?q=unit-0&lot=1").body);
    assert!(next.unwrap().starts_with("/identities?q=unit-0&lot=1&after="));
}

#[test]
fn filters_select_and_wrong_ones_are_refused() {
    let bench = Bench::new();
    let service = bench.serve();
    let visitor = Visitor::log_in(&service);
    let (one, other) = (Device::new("p256"), Device::new("p384"));
    bench.import_text(&one.identity());
    bench.import_text(&other.identity());
    one.accepts(&one.register(&service, "SN-1"));
    other.register(&service, "SN-1").refused(409, "serial-taken");
    Device::new("rsa2048")
        .register(&service, "SN-3")
        .refused(403, "identity-unknown");
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    for (path, expected) in [
        ("/identities?state=registered".to_owned(), 1),
        ("/identities?state=unregistered".to_owned(), 1),
        ("/identities?state=blocked".to_owned(), 0),
        ("/identities?lot=2".to_owned(), 1),
        ("/identities?issuer=acme&hardware=edge-box".to_owned(), 2),
        ("/identities?issuer=acm".to_owned(), 0),
        (format!("/identities?from={today}&to={today}"), 2),
        ("/identities?to=2026-01-01".to_owned(), 0),
        ("/registrations?outcome=refused".to_owned(), 2),
        ("/registrations?outcome=serial-taken".to_owned(), 1),
        (
            "/registrations?outcome=issued&model=brand-acme%2Fedge-box".to_owned(),
            1,
        ),
        ("/registrations?model=edge-box".to_owned(), 3),
        ("/registrations?model=edge-box-2".to_owned(), 0),
        ("/registrations?lot=2".to_owned(), 1),
        (format!("/registrations?from={today}&serial=SN-1"), 2),
        (format!("/registrations?device={}", one.digest()), 1),
        ("/refusals".to_owned(), 2),
        ("/refusals?lot=2".to_owned(), 1),
        ("/serials?state=held&model=edge-box".to_owned(), 1),
        ("/serials?state=released".to_owned(), 0),
    ] {
        let page = visitor.get(&path);
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.body.matches("scope=\"row\"").count(), expected, "{path}");
    }
    for (path, code) in [
        ("/identities?lot=x", "filter-invalid"),
        ("/registrations?from=yesterday", "filter-invalid"),
        ("/serials?to=2026-02-30", "filter-invalid"),
        ("/identities?state=held", "filter-invalid"),
        ("/serials?state=used", "filter-invalid"),
        ("/nonces?state=blocked", "filter-invalid"),
        ("/nonces?after=1", "cursor-invalid"),
    ] {
        let page = visitor.get(path);
        assert_eq!(page.status, 400, "{path}");
        assert!(page.body.contains(&format!("[{code}]")), "{path}");
    }
}

#[test]
fn wrong_fields_are_refused_on_a_page() {
    let bench = Bench::new();
    let service = bench.serve();
    let visitor = Visitor::log_in(&service);
    let form = |path: &str| Request::form(path, &[("other", "1")]);
    let without_type = Request::post("/login", "password=x");
    for request in [
        Request::get("/identity"),
        Request::get("/serials/detail?brand=brand-acme"),
        Request::get("/identities?q=1&q=2"),
        Request::get("/identities.csv?q=1&q=2"),
        Request::get("/import?after=1&after=2"),
        form("/identity"),
        form("/serials/detail"),
        form("/login"),
        form("/logout"),
        without_type,
    ] {
        let page = visitor.send(request.clone());
        assert!((400..500).contains(&page.status), "{request:?}: {page:?}");
        assert!(page.body.contains("[fields-invalid]"), "{request:?}: {page:?}");
        assert!(page.body.ends_with("</html>"), "{page:?}");
    }
}

#[test]
fn lists_as_csv() {
    let bench = Bench::new();
    let service = bench.serve();
    let visitor = Visitor::log_in(&service);
    let (one, other) = (Device::new("p256"), Device::new("p384"));
    bench.import_text(&one.identity());
    bench.import_text(&other.identity_with(json!({ "manufacturer": "=1+1, \"x\"" })));
    one.accepts(&one.register(&service, "SN-1"));
    other.register(&service, "SN-1").refused(409, "serial-taken");
    let lines = |path: &str| {
        let file = visitor.get(path);
        assert_eq!(
            (file.status, file.header("content-type")),
            (200, Some("text/csv; charset=utf-8")),
            "{path}"
        );
        let name = path.split('.').next().unwrap().trim_start_matches('/');
        let disposition = format!("attachment; filename=\"{name}.csv\"");
        assert_eq!(file.header("content-disposition"), Some(disposition.as_str()));
        file.body.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let identities = lines("/identities.csv");
    assert!(identities[0].starts_with("issuer,digest,") && identities.len() == 3);
    assert!(identities[1].contains(",\"'=1+1, \"\"x\"\"\","), "{identities:?}");
    assert_eq!(lines("/identities.csv?state=registered").len(), 2);
    assert_eq!(lines("/registrations.csv?outcome=serial-taken").len(), 2);
    assert_eq!(lines("/serials.csv").len(), 2);
    assert_eq!(lines("/nonces.csv?state=used").len(), 3);
    let refusals = lines("/refusals.csv");
    assert_eq!(refusals.len(), 2);
    assert!(refusals[1].starts_with("serial-taken,1,"));
    assert_eq!(lines("/imports.csv").len(), 3);
    assert_eq!(visitor.get("/identities.csv?lot=x").status, 400);
}

#[test]
fn refusals_are_grouped_by_their_code() {
    let bench = Bench::new();
    let service = bench.serve();
    let visitor = Visitor::log_in(&service);
    for kind in ["p256", "p384", "rsa2048"] {
        let device = Device::new(kind);
        device.register(&service, "SN-1").refused(403, "identity-unknown");
    }
    let page = visitor.get("/refusals").body;
    assert!(page.contains("3 refusals with 1 code"));
    assert!(page.contains("href=\"/registrations?outcome=identity-unknown\""));
    // The advice of the last one, once.
    assert_eq!(page.matches("Import the device").count(), 1);
    assert!(page.contains(&Device::new("rsa2048").digest()));
}

#[test]
fn hostile_data_is_escaped() {
    let bench = Bench::new();
    let service = bench.serve();
    let visitor = Visitor::log_in(&service);
    let device = Device::new("p256");
    let changes = json!({ "hardware-id": HOSTILE, "manufacturer": HOSTILE });
    bench.import_text(&device.identity_with(changes));
    device.register(&service, HOSTILE).refused(400, "serial-invalid");
    let answer = device.register(&service, HOSTILE.trim_end_matches('/').replace('/', "|").as_str());
    device.accepts(&answer);
    let shown = |page: &str| {
        assert!(page.contains(ESCAPED), "{page}");
        assert!(!page.replace(SCRIPT, "").contains("<script"), "{page}");
    };
    shown(&visitor.get("/identities").body);
    shown(&visitor.get("/registrations").body);
    shown(
        &visitor
            .get("/identities?q=%3Cscript%3Ealert(%221%22)%3C/script%3E%26")
            .body,
    );
    let page = visitor
        .get("/identities?q=%22%3E%3Cscript%3E&from=%22%3E%3Cscript%3E")
        .body;
    assert!(!page.replace(SCRIPT, "").contains("<script"));
    let page = visitor.get("/serials").body;
    assert!(page.contains(&ESCAPED.replace('/', "|")), "{page}");
    assert!(!page.replace(SCRIPT, "").contains("<script"));
    shown(&visitor.get(&format!("/identity?digest={}", device.digest())).body);
    // In a report, also of refused assertions.
    let csrf = visitor.csrf();
    shown(
        &visitor
            .upload(
                &csrf,
                &device.identity_with(json!({ "hardware-id": HOSTILE, "revision": "1" })),
            )
            .body,
    );
    let changed = device
        .identity_with(json!({ "hardware-id": HOSTILE, "revision": "2" }))
        .replace("Acme", "Bcme");
    shown(&visitor.upload(&csrf, &changed).body);
}

#[test]
fn the_log_of_registrations() {
    let bench = Bench::new();
    let service = bench.serve();
    let visitor = Visitor::log_in(&service);
    let device = Device::new("p256");
    device
        .register(&service, "SN-77")
        .refused(403, "identity-unknown");
    bench.import_text(&device.identity());
    device.accepts(&device.register(&service, "SN-78"));
    let page = visitor.get("/registrations").body;
    for part in [
        "SN-77",
        "identity-unknown",
        "SN-78",
        "issued",
        "brand-acme",
        "edge-box",
        "127.0.0.1",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains(&device.digest()));
}

#[test]
fn open_nonces() {
    let bench = Bench::new();
    let service = bench.serve();
    let visitor = Visitor::log_in(&service);
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    device.accepts(&device.register(&service, "SN-1"));
    let nonce = service.nonce();
    let page = visitor.get("/nonces?state=open").body;
    // The used one is no longer open, and an open one is not shown completely.
    assert!(page.contains("1–1 of 1 nonce"), "{page}");
    assert!(page.contains(&nonce[..12]) && !page.contains(&nonce), "{page}");
}

#[test]
fn cookies_behind_a_proxy_that_ends_tls() {
    let bench = Bench::with("secure-cookies = true", "");
    let service = bench.serve();
    let answer = log_in(&service, PASSWORD);
    let cookies = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    let cookies: Vec<_> = cookies.map(|(_, value)| value.as_str()).collect();
    assert_eq!(cookies.len(), 2);
    for cookie in &cookies {
        assert!(cookie.starts_with("__Host-"), "{cookie}");
        let attributes: Vec<_> = cookie.split("; ").collect();
        assert!(
            attributes.contains(&"Secure") && attributes.contains(&"Path=/"),
            "{cookie}"
        );
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
    let visitor = Visitor::log_in(&service);
    assert_eq!(visitor.get("/").status, 200);
    // A name without the prefix could have been set by another site.
    let bare = visitor.cookie.trim_start_matches("__Host-").to_owned();
    let answer = service.send(&Request::get("/").header("cookie", &bare));
    assert_eq!(answer.header("location"), Some("/login"));
}

/// The largest page, in bytes.
const MAX_PAGE: usize = 200_000;

#[test]
fn no_page_is_large() {
    let bench = Bench::with("", "requests-per-minute = 0");
    let service = bench.serve();
    let visitor = Visitor::log_in(&service);
    // Escaped, each character needs six bytes.
    let long = "\"".repeat(40_000);
    let small = |page: &Answer| {
        assert!(page.body.len() < MAX_PAGE, "{}", page.body.len());
        assert!(page.body.ends_with("</html>"));
    };
    let devices: Vec<_> = (0..60)
        .map(|index| Device::fresh(&format!("{index} {long}")))
        .collect();
    let identities: Vec<_> = devices
        .iter()
        .map(|device| device.identity_with(json!({ "manufacturer": long })))
        .collect();
    let identities = identities.join("\n");
    let csrf = visitor.csrf();
    let report = visitor.upload(&csrf, &identities);
    assert_eq!(report.status, 200);
    small(&report);
    let refused = visitor.upload(&csrf, &identities.replace("acme", "evil"));
    assert_eq!(refused.status, 422);
    small(&refused);
    let page = visitor.get("/identities");
    assert_eq!(page.body.matches("scope=\"row\"").count(), 50);
    small(&page);
    let page = visitor.get(&format!("/identity?digest={}", devices[0].digest()));
    assert_eq!(page.status, 200);
    // A longer part of the value than in the list.
    assert!(page.body.contains(&"&quot;".repeat(300)));
    small(&page);
    // No longer addresses are accepted.
    let query = "%22".repeat(21_000);
    small(&visitor.get(&format!("/identities?q={query}")));
    let unknown = visitor.get(&format!("/identity?digest={query}"));
    assert_eq!(unknown.status, 404);
    small(&unknown);
    let device = Device::new("p256");
    for _ in 0..50 {
        assert_ne!(device.register(&service, &"\"".repeat(40_000)).status, 201);
    }
    let page = visitor.get("/registrations");
    assert!(page.body.contains("&quot;"));
    small(&page);
}
