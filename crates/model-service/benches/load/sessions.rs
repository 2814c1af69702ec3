//! Sessions, each of which needs three verifications of signatures, beside verifications alone.

use serde_json::Value;

use crate::alone::Alone;
use crate::client::{Client, post};
use crate::clock::{Measured, measured};
use crate::common::parallel::{THREADS, with_each};
use crate::common::session::{NONCES, SESSIONS, SessionDevice, serial_by, switch_on};
use crate::common::{Bench, Service};
use crate::turns;

/// Devices at once.
const CLIENTS: usize = 64;
/// The signatures of the model, the serial and the request.
const VERIFICATIONS: usize = 3;

/// Measures `rounds` turns with `devices` sessions in each.
pub fn run(rounds: usize, devices: usize) {
    let alone = Alone::new("brand");
    let mut world = World::new(devices);
    let turns = turns::run(rounds, || {
        let requests = world.requests();
        turns::wait_for_quiet();
        vec![alone.verify(VERIFICATIONS * devices), world.ask(&requests)]
    });
    let ((verifying, verifying_processor), (time, processor)) =
        (turns::sum(&turns, 0), turns::sum(&turns, 1));
    let (least, greatest) = turns::range(&turns, 0, 1);
    let all = (rounds * devices) as f64;
    println!(
        "{} cores; aws-lc alone: {:.0} RSA-4096 verifications/s, enough for {:.0} sessions/s",
        *THREADS,
        VERIFICATIONS as f64 * all / verifying,
        all / verifying
    );
    println!(
        "{CLIENTS} devices at once: {:.0} sessions/s, {:.3} x the verifications ({least:.3} to {greatest:.3} in single turns; {:.3} by processor time, the clients' included)",
        all / time,
        verifying / time,
        verifying_processor / processor
    );
}

/// A service and its clients.
struct World {
    _bench: Bench,
    service: Service,
    clients: Vec<Client>,
    devices: Vec<SessionDevice>,
}

impl World {
    fn new(devices: usize) -> Self {
        // Clients wait with their connections open until other programs are idle.
        let bench = Bench::with(
            "nonce-seconds = 86400",
            "request-seconds = 86400\nconnection-seconds = 864000",
        );
        switch_on(&bench);
        let service = bench.serve();
        let numbers: Vec<_> = (0..devices).map(|index| format!("SN-{index}")).collect();
        let device = |(): &mut (), number: &String| {
            SessionDevice::new(number, &serial_by("brand-acme", "brand", number))
        };
        Self {
            _bench: bench,
            clients: (0..CLIENTS).map(|_| Client::connect(service.address)).collect(),
            devices: with_each(&mut vec![(); *THREADS], &numbers, device),
            service,
        }
    }

    /// The request of each device, with a new nonce.
    fn requests(&mut self) -> Vec<Vec<u8>> {
        with_each(&mut self.clients, &self.devices, |client, device| {
            let (_, answer) = client.exchange(&post(NONCES, "", ""));
            let nonce: Value = serde_json::from_str(answer).unwrap();
            let body = device.body(nonce["nonce"].as_str().unwrap());
            post(SESSIONS, "", &body.to_string())
        })
    }

    fn ask(&mut self, requests: &[Vec<u8>]) -> Measured {
        measured(&[self.service.child.id()], || {
            with_each(&mut self.clients, requests, |client, request| {
                let (status, answer) = client.exchange(request);
                assert_eq!(status, 200, "{answer}");
            });
        })
    }
}
