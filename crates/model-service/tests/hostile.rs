//! Bodies from a generator: whatever comes, it is refused as the client's mistake, and the service goes on.

#![allow(clippy::unwrap_used)]

mod common;

use common::device::Device;
use common::http::Request;
use common::{ASSERTIONS, Bench, TOKEN, text_vector};

/// For each of the two addresses.
const BODIES: usize = 1000;

/// Numbers that are the same in each run (xorshift, Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// One to four changes to `body`.
    fn change(&mut self, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        for _ in 0..=self.below(4) {
            let (start, length) = (self.below(body.len()), 1 + self.below(200));
            let end = (start + length).min(body.len());
            match self.below(7) {
                0 => body[start] ^= 1 << self.below(8),
                1 => drop(body.drain(start..end)),
                2 => {
                    let piece = body[start..end].to_vec();
                    let place = self.below(body.len());
                    body.splice(place..place, piece);
                }
                3 => body.truncate(start + 1),
                4 => body[start..end].fill_with(|| 0),
                5 => {
                    let pieces: [&[u8]; 6] = [
                        b"\n\n",
                        b"\n    ",
                        b"body-length: 99999999\n",
                        b"\xff\xfe",
                        b"{\"a\":",
                        b"type: model\n",
                    ];
                    let piece = pieces[self.below(pieces.len())].to_vec();
                    body.splice(start..start, piece);
                }
                _ => body
                    .splice(start..end, (0..length).map(|index| index as u8))
                    .for_each(drop),
            }
            if body.is_empty() {
                body.push(b'x');
            }
        }
        body
    }
}

#[test]
fn the_service_withstands_them() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    let mut numbers = Numbers(0x2545_F491_4F6C_DD1D);

    let request = device.stream(&service.nonce(), "SN-1").into_bytes();
    for _ in 0..BODIES {
        let body = numbers.change(&request);
        let answer = service.send(&Request::post("/v1/serial", body).header("content-type", ASSERTIONS));
        // A change may hit bytes that mean nothing, such as one of two names of the digest.
        if answer.status >= 300 {
            assert!((400..500).contains(&answer.status), "{answer:?}");
            answer.code();
        }
    }
    let identities = format!(
        "{}\n{}",
        device.identity(),
        text_vector("hardware-identity-wrapped-key.assert")
    );
    for _ in 0..BODIES {
        let body = numbers.change(identities.as_bytes());
        let request = Request::post("/v1/hardware-identities", body).header("content-type", ASSERTIONS);
        let answer = service.send(&request.header("authorization", &format!("Bearer {TOKEN}")));
        assert!([200, 422].contains(&answer.status), "{answer:?}");
    }
    assert_eq!(
        bench.count("pragma_integrity_check WHERE integrity_check = 'ok'"),
        1
    );
    assert!(bench.count("identities") <= 2);
    device.accepts(&device.register(&service, "SN-1"));
}
