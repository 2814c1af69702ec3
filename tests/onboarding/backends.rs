//! The five stages for keys in a token and in a file.

use serde_json::Value;

use crate::bench::{Bench, Factory};
use crate::common::token::{TOKEN, TokenWorld};
use crate::{serial, stderr};

const ALGORITHMS: [&str; 4] = ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072"];
const PROPOSED: &str = "[registration]\nproposed-serial = 'key-digest'\n";

fn registers(bench: &Bench, factory: &Factory, arguments: &[&str]) {
    bench.enroll(factory);
    let output = bench.onboard(factory.directory(), arguments);
    let log = stderr(&output);
    assert!(log.contains("its signature is right"), "{log}");
    let body = factory.device().config("registration.body").unwrap().unwrap();
    let digest = body["hardware-id-key-sha3-384"].clone();
    assert_eq!(serial(&output).header("serial").map(Value::from), Some(digest));
}

#[test]
fn each_algorithm_in_a_file() {
    let bench = Bench::start();
    for algorithm in ALGORITHMS {
        let settings = format!("key-backend = 'software'\nalgorithm = '{algorithm}'\n{PROPOSED}");
        registers(&bench, &Factory::new(&settings), &[]);
    }
}

#[test]
fn each_algorithm_in_a_token() {
    let bench = Bench::start();
    for algorithm in ALGORITHMS {
        let token = TokenWorld::softhsm("");
        let settings = token.settings_for(&token.module, TOKEN, &format!("algorithm = '{algorithm}'"));
        let factory = Factory::with_variables(&(settings + PROPOSED), &token.variables);
        let variables = token
            .variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let variables: Vec<String> = variables.collect();
        let arguments: Vec<&str> = variables
            .iter()
            .flat_map(|variable| ["--env", variable])
            .collect();
        registers(&bench, &factory, &arguments);
    }
}
