//! The addresses for the programs of operators: lists, the OpenAPI document and metrics.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use common::device::Device;
use common::http::{Answer, Request};
use common::{Bench, PROGRAM, Service, TOKEN, on_postgres};
use serde_json::Value;

const SECRET: &str = "the-secret-of-the-role-read";

/// A bench with a token that permits reading.
fn bench(top: &str) -> Bench {
    let token = "[[token]]\nname = \"reader\"\nrole = \"read\"\nfile = \"reader\"\n";
    let bench = Bench::with(&format!("{top}\n{token}"), "");
    bench.write("reader", SECRET.as_bytes());
    bench
}

fn get(path: &str) -> Request {
    Request::get(path).header("authorization", &format!("Bearer {SECRET}"))
}

/// The answer to a request that must succeed.
#[track_caller]
fn read(service: &Service, path: &str) -> Answer {
    let answer = service.send(&get(path));
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer
}

/// The values of a field in a list.
#[track_caller]
fn values(service: &Service, path: &str, field: &str) -> Vec<String> {
    let list = read(service, path).json();
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item[field].as_str().unwrap().to_owned())
        .collect()
}

/// Devices `hw-1` and `hw-2` of the first import and `hw-3` of the second one; `hw-1` has the serial
/// SN-1, and `hw-2` was refused.
fn world() -> (Bench, Service, [Device; 3]) {
    let bench = bench("");
    let service = bench.serve();
    let devices = ["hw-1", "hw-2", "hw-3"].map(Device::fresh);
    bench.import_text(&[devices[0].identity(), devices[1].identity()].join("\n"));
    let named = Request::post("/v1/hardware-identities?name=lot-2.assert", devices[2].identity())
        .header("content-type", common::ASSERTIONS)
        .header("authorization", &format!("Bearer {TOKEN}"));
    assert_eq!(service.send(&named).status, 200);
    devices[0].accepts(&devices[0].register(&service, "SN-1"));
    devices[1].register(&service, "SN-1").refused(409, "serial-taken");
    (bench, service, devices)
}

#[test]
fn lists_with_filters() {
    let (bench, service, devices) = world();
    let block = [&devices[1].digest(), "--reason", "stolen"];
    assert!(bench.run(&["identity", "block"], &block).status.success());
    for (path, field, expected) in [
        ("/v1/identities", "hardware-id", &["hw-3", "hw-2", "hw-1"][..]),
        ("/v1/identities?text=HW-2", "hardware-id", &["hw-2"]),
        ("/v1/identities?blocked=true", "hardware-id", &["hw-2"]),
        ("/v1/identities?registered=true&lot=1", "hardware-id", &["hw-1"]),
        ("/v1/identities?lot=2", "hardware-id", &["hw-3"]),
        (
            "/v1/identities?since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00%2B01:00",
            "hardware-id",
            &[],
        ),
        ("/v1/registrations", "outcome", &["serial-taken", "issued"]),
        (
            "/v1/registrations?class=issued&model=edge-box",
            "outcome",
            &["issued"],
        ),
        ("/v1/refusals?lot=1", "outcome", &["serial-taken"]),
        ("/v1/refusals?class=refused", "outcome", &["serial-taken"]),
        ("/v1/refusals?lot=2", "outcome", &[]),
        ("/v1/refusal-codes", "code", &["serial-taken"]),
        ("/v1/serials?held=true&serial=SN-1", "serial", &["SN-1"]),
        ("/v1/nonces?status=used", "status", &["used", "used"]),
        (
            "/v1/imports",
            "name",
            &["lot-2.assert", bench.path("import.assert").to_str().unwrap()],
        ),
        ("/v1/models", "model", &["edge-box", "edge-box-2", "edge-box-key"]),
        // No name has a NUL.
        ("/v1/identities?text=%00", "digest", &[]),
    ] {
        assert_eq!(values(&service, path, field), expected, "{path}");
    }
    for path in [
        "/v1/identities?lot=x",
        "/v1/identities?other=1",
        "/v1/identities?limit=0",
        "/v1/identities?limit=1001",
        "/v1/registrations?since=yesterday",
        "/v1/refusals?class=issued",
        "/v1/refusals?class=repeated",
        "/v1/statistics?days=0",
        "/v1/imports/x",
        "/v1/identities/%FF",
    ] {
        service.send(&get(path)).refused(400, "address-invalid");
    }
    service
        .send(&get("/v1/serials?cursor=x"))
        .refused(400, "cursor-invalid");
    service
        .send(&get("/v1/identities/%00"))
        .refused(404, "identity-not-imported");
}

#[test]
fn pages_follow_each_other() {
    let (_bench, service, _) = world();
    let (mut path, mut seen) = ("/v1/identities?limit=2&issuer=acme".to_owned(), Vec::new());
    loop {
        let answer = read(&service, &path);
        let list = answer.json();
        assert_eq!(
            (&list["total"], &list["total-is-exact"]),
            (&3.into(), &true.into())
        );
        assert_eq!(
            (&list["before"], &list["before-is-exact"]),
            (&seen.len().into(), &true.into())
        );
        let items = list["items"].as_array().unwrap();
        seen.extend(
            items
                .iter()
                .map(|item| item["hardware-id"].as_str().unwrap().to_owned()),
        );
        let Some(link) = answer.header("link") else {
            assert_eq!(list["next"], Value::Null);
            break;
        };
        let query = link.trim_start_matches('<').split_once('>').unwrap().0;
        path = format!("/v1/identities{query}");
        assert!(path.contains("limit=2&issuer=acme&cursor="), "{path}");
    }
    assert_eq!(seen, ["hw-3", "hw-2", "hw-1"]);
}

#[test]
fn lists_as_csv() {
    let (_bench, service, _) = world();
    let by_format = read(&service, "/v1/refusals?format=csv");
    let by_header = service.send(&get("/v1/refusals").header("accept", "text/csv"));
    assert_eq!(by_format.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(by_format.body, by_header.body);
    let mut lines = by_format.body.lines();
    assert_eq!(
        lines.next(),
        Some("id,time,address,brand-id,model,serial,device,outcome,reason")
    );
    assert!(
        lines
            .next()
            .unwrap()
            .contains(",127.0.0.1,brand-acme,edge-box,SN-1,")
    );
    assert_eq!(lines.next(), None);
    for list in [
        "identities",
        "registrations",
        "refusals",
        "serials",
        "nonces",
        "imports",
    ] {
        let table = read(&service, &format!("/v1/{list}?format=csv")).body;
        let items = read(&service, &format!("/v1/{list}")).json();
        assert_eq!(table_items(&table), text_items(&items), "{list}");
        let empty = read(&service, &format!("/v1/{list}?format=csv&cursor=AAAAAAAAAAA")).body;
        assert_eq!(empty.lines().collect::<Vec<_>>(), [table.lines().next().unwrap()]);
    }
}

/// The rows of a table by the names of its columns.
fn table_items(table: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    reader.deserialize().map(Result::unwrap).collect()
}

/// The items of a list with their values as text, as in a table: no value is a formula.
fn text_items(list: &Value) -> Vec<BTreeMap<String, String>> {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with('-') => format!("'{text}"),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let items = list["items"].as_array().unwrap().iter();
    let fields = items.map(|item| item.as_object().unwrap().iter());
    fields
        .map(|fields| fields.map(|(name, value)| (name.clone(), text(value))).collect())
        .collect()
}

#[test]
fn details_with_their_history() {
    let (bench, service, devices) = world();
    let release = ["brand-acme", "edge-box", "SN-1", "--reason", "replaced"];
    assert!(bench.run(&["serial", "release"], &release).status.success());
    let block = [&devices[0].digest(), "--reason", "stolen"];
    assert!(bench.run(&["identity", "block"], &block).status.success());
    let identity = read(&service, &format!("/v1/identities/{}", devices[0].digest())).json();
    let since = identity["blocked"]["since"].as_str().unwrap();
    assert!(since.parse::<jiff::Timestamp>().is_ok(), "{since}");
    assert_eq!(identity["identities"][0]["lot"], 1);
    let assertion = identity["identities"][0]["assertion"].as_str().unwrap();
    // Another signature of the same headers is another one.
    let headers = |assertion: &str| assertion.split("\n\n").next().unwrap().to_owned();
    assert_eq!(headers(assertion), headers(&devices[0].identity()));
    assert_eq!(identity["changes"][0]["kind"], "identity-blocked");
    assert_eq!(identity["changes"][1]["kind"], "serial-released");
    assert_eq!(identity["changes"][1]["number"]["serial"], "SN-1");
    let serial = read(&service, "/v1/serials/brand-acme/edge-box/SN-1").json();
    assert_eq!(serial["device"], Value::Null);
    assert!(
        serial["assertions"][0]["assertion"]
            .as_str()
            .unwrap()
            .starts_with("type: serial\n")
    );
    assert_eq!(serial["changes"][0]["reason"], "replaced");
    assert_eq!(read(&service, "/v1/imports/2").json()["new"], 1);
    assert_eq!(read(&service, "/v1/registrations/1").json()["outcome"], "issued");
    let statistics = read(&service, "/v1/statistics?days=2").json();
    assert_eq!(statistics["identities"], 3);
    assert_eq!(statistics["days"][1]["issued"], 1);
    let refused = &read(&service, "/v1/refusal-codes").json()["items"][0];
    assert_eq!(refused["first"], refused["last"]);
    let message = read(&service, "/v1/refusals").json()["items"][0]["reason"].clone();
    assert_eq!(refused["message"], message);
    for path in ["/v1/imports/9", "/v1/registrations/9"] {
        service.send(&get(path)).refused(404, "number-unknown");
    }
    service
        .send(&get("/v1/serials/brand-acme/edge-box/SN-9"))
        .refused(404, "serial-not-issued");
}

#[test]
fn a_restore_knows_the_changes_after_the_backup() {
    // PostgreSQL makes and restores its own backups.
    if on_postgres() {
        return;
    }
    let (bench, service, devices) = world();
    assert!(
        bench
            .run(&["backup"], &[bench.path("backup").to_str().unwrap()])
            .status
            .success()
    );
    let block = [&devices[0].digest(), "--reason", "stolen"];
    assert!(bench.run(&["identity", "block"], &block).status.success());
    let release = ["brand-acme", "edge-box", "SN-1", "--reason", "replaced"];
    assert!(bench.run(&["serial", "release"], &release).status.success());
    devices[1].accepts(&devices[1].register(&service, "SN-1"));
    let pages = [
        format!("/v1/identities/{}", devices[0].digest()),
        "/v1/serials/brand-acme/edge-box/SN-1".to_owned(),
    ];
    let shown = |service: &Service| pages.each_ref().map(|page| read(service, page).json());
    let before = shown(&service);
    drop(service);
    assert!(
        bench
            .run(&["restore"], &[bench.path("backup").to_str().unwrap()])
            .status
            .success()
    );
    let after = shown(&bench.serve());
    assert_eq!(before[0]["changes"].as_array().unwrap().len(), 2);
    assert_eq!(before[1]["assertions"].as_array().unwrap().len(), 2);
    // The times are those of the ledger's lines, which may be a second later.
    let timeless = |page: &Value| {
        let mut page = page.clone();
        for list in ["changes", "assertions"] {
            for item in page[list].as_array_mut().into_iter().flatten() {
                assert!(item["time"].as_str().unwrap().starts_with("20"), "{item}");
                item["time"] = Value::Null;
            }
        }
        page
    };
    assert_eq!(before.each_ref().map(timeless), after.each_ref().map(timeless));
}

#[test]
fn lists_need_a_token_that_permits_reading() {
    let bench = bench("");
    let service = bench.serve();
    for list in [
        "identities",
        "registrations",
        "refusals",
        "refusal-codes",
        "serials",
        "nonces",
        "imports",
        "models",
        "statistics",
        "imports/1",
        "registrations/1",
        "serials/a/b/c",
    ] {
        let path = format!("/v1/{list}");
        service.get(&path).refused(401, "unauthorized");
        let import = Request::get(&path).header("authorization", &format!("Bearer {TOKEN}"));
        service.send(&import).refused(403, "token-role");
    }
}

#[test]
fn the_document_has_every_route() {
    let bench = bench("");
    let service = bench.serve();
    let document = service.get("/openapi.json").json();
    let (mut operations, mut ids) = (0, HashSet::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations += 1;
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{path}"
            );
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{path}");
            let problem = &responses["503"]["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(problem, "#/components/schemas/Problem", "{path}");
            // The route exists, and answers with a status that the document has.
            let concrete = path.replace(['{', '}'], "");
            let answer = service.send(&Request::post(&concrete, "").method(&method.to_uppercase()));
            assert!(
                responses.contains_key(&answer.status.to_string()),
                "{method} {path}: {answer:?}"
            );
            assert!(!answer.body.contains("\"not-found\""), "{path}");
        }
    }
    // All routes are made together with the document; this tells if some are not served.
    assert_eq!(operations, 30);
    assert_eq!(document["paths"]["/v1/serial"]["post"]["operationId"], "serial");
    let reference = |text: &str| text.contains("#/components/schemas/");
    assert!(
        document
            .to_string()
            .split('"')
            .filter(|text| reference(text))
            .all(|text| { document.pointer(text.trim_start_matches('#')).is_some() })
    );
}

#[test]
fn metrics_count_what_happens() {
    let (_bench, service, devices) = world();
    assert_eq!(devices[0].register(&service, "SN-1").status, 200);
    service.get("/secret-path-1").refused(404, "not-found");
    let answer = service.get("/metrics");
    let kind = answer.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let has = |line: &str| {
        assert!(
            answer.body.lines().any(|other| other == line),
            "{line}: {}",
            answer.body
        )
    };
    for outcome in ["issued", "repeated", "serial-taken"] {
        has(&format!(
            "model_service_registrations_total{{outcome=\"{outcome}\"}} 1"
        ));
    }
    has("model_service_requests_total{method=\"POST\",route=\"/v1/serial\",status=\"409\"} 1");
    has("model_service_requests_total{method=\"GET\",route=\"other\",status=\"404\"} 1");
    has("model_service_imports_total{outcome=\"stored\"} 1");
    for (phase, count) in [
        ("parse", 3),
        ("nonce", 3),
        ("proof", 3),
        ("sign", 1),
        ("store", 2),
    ] {
        has(&format!(
            "model_service_registration_phase_seconds_count{{phase=\"{phase}\"}} {count}"
        ));
    }
    for gauge in [
        "store_ready 1",
        "signer_ready 1",
        "identities 3",
        "serials 1",
        "open_nonces 0",
    ] {
        has(&format!("model_service_{gauge}"));
    }
    assert!(answer.body.ends_with("# EOF\n"));
}

/// Starts a service with two addresses.
fn serve_apart(bench: &Bench) -> (Service, SocketAddr) {
    let mut child = Command::new(PROGRAM)
        .args(["serve", "--config"])
        .arg(bench.path("settings.toml"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut address = |begin: &str| {
        let line = lines.next().unwrap().unwrap();
        line.strip_prefix(begin)
            .unwrap()
            .trim_end_matches('/')
            .parse()
            .unwrap()
    };
    let devices = address("listening on http://");
    let operators = address("listening for operators on http://");
    let service = Service {
        child,
        address: devices,
    };
    (service, operators)
}

#[test]
fn operators_can_have_an_address_of_their_own() {
    let bench = bench("operator-listen = \"127.0.0.1:0\"");
    let (service, operators) = serve_apart(&bench);
    let at_operators = |request: &Request| request.send(operators);
    for path in [
        "/metrics",
        "/openapi.json",
        "/v1/identities",
        "/login",
        "/v1/models",
    ] {
        service.send(&get(path)).refused(404, "not-found");
        assert_eq!(at_operators(&get(path)).status, 200, "{path}");
    }
    service.import("").refused(404, "not-found");
    for path in ["/v1/request-id", "/request-id"] {
        at_operators(&Request::post(path, "")).refused(404, "not-found");
        assert_eq!(service.send(&Request::post(path, "")).status, 200);
    }
    for path in ["/health", "/ready"] {
        assert_eq!(service.get(path).status, 200);
        assert_eq!(at_operators(&Request::get(path)).status, 200);
    }
}
