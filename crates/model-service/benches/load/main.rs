//! The throughput of the service, beside that of aws-lc alone with the same keys on the same cores.
//!
//! `cargo bench -p model-service --bench load` measures all parts, `… load -- registrations`,
//! `-- sessions` or `-- imports` one. Everything takes turns within one run, and turns in which other programs ran
//! do not count, so that the ratios are meaningful on a machine that others use too.
//!
//! | variable | default | |
//! |---|---|---|
//! | `ROUNDS` | 5 | turns |
//! | `DEVICES` | 600 | registrations or sessions in each piece of a turn, 64 at once |
//! | `IDENTITIES` | 0 | more rows in the database of a second service |
//! | `STORE` | `sqlite` | `postgres` for a PostgreSQL server on the same cores |
//! | `REPLICAS` | 1 | services on one PostgreSQL database |
//! | `PERCENT` | 50 | rate of random arrivals, in percent of the signatures |
//! | `BUSY` | | if set, turns count in which other programs ran: only ratios of processor time mean something |
//! | `IMPORTS` | 20000 | assertions in an import, made once at 200 a second and core |

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

#[path = "../../tests/common/mod.rs"]
mod common;

mod alone;
mod client;
mod clock;
mod imports;
mod registrations;
mod sessions;
mod turns;

use std::env;

fn main() {
    let number = |name: &str, default| env::var(name).map_or(default, |text| text.parse().unwrap());
    let parts: Vec<_> = env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|one| one == part);
    let rounds = number("ROUNDS", 5);
    if wanted("registrations") {
        let (devices, identities) = (number("DEVICES", 600), number("IDENTITIES", 0));
        registrations::run(
            rounds,
            devices,
            identities,
            number("PERCENT", 50),
            number("REPLICAS", 1),
        );
    }
    if wanted("sessions") {
        sessions::run(rounds, number("DEVICES", 600));
    }
    if wanted("imports") {
        imports::run(rounds, number("IMPORTS", 20_000));
    }
}
