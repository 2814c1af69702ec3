//! The number of TPM commands that a proof takes.

use std::collections::BTreeMap;

use testbed::Command::{CreatePrimary, FlushContext, ReadPublic};

use crate::device::{Ca, LineDevice};
use crate::station::Station;
use crate::succeeded;

/// TPM_CC (TPM 2.0 Library part 2, section 6.5.2).
pub(crate) const GET_CAPABILITY: u32 = 0x17a;
pub(crate) const NV_READ: u32 = 0x14e;
pub(crate) const NV_READ_PUBLIC: u32 = 0x169;
const ACTIVATE_CREDENTIAL: u32 = 0x147;
const POLICY_SECRET: u32 = 0x151;
const START_AUTH_SESSION: u32 = 0x176;

pub(crate) fn counted(device: &LineDevice, run: impl FnOnce()) -> BTreeMap<u32, u64> {
    device.tpm.reset_counts();
    run();
    device.tpm.counts()
}

#[test]
fn a_proof_takes_few_commands() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let station = Station::new(&ca);
    let [read_public, create, flush] = [ReadPublic, CreatePrimary, FlushContext].map(|c| c.code().unwrap());
    for (template, answer) in [
        (
            "L-1",
            [
                (read_public, 1),
                (create, 1),
                (START_AUTH_SESSION, 1),
                (POLICY_SECRET, 1),
                (ACTIVATE_CREDENTIAL, 1),
                (flush, 2),
            ]
            .to_vec(),
        ),
        (
            "H-3",
            [
                (read_public, 1),
                (create, 1),
                (ACTIVATE_CREDENTIAL, 1),
                (flush, 1),
            ]
            .to_vec(),
        ),
    ] {
        let exporting = counted(&device, || station.export(&device, &["--ek-template", template]));
        let expected = [
            (read_public, 1),
            // The NV indices, and the size of the buffer.
            (GET_CAPABILITY, 2),
            (NV_READ_PUBLIC, 2),
            (NV_READ, 1),
            (create, 1),
            (flush, 1),
        ];
        assert_eq!(exporting, BTreeMap::from(expected), "{template}");
        succeeded(&station.challenge(template, &[]));
        // After its start, a TPM asks for the first use of some keys to be repeated.
        succeeded(&station.activate(&device));
        let answering = counted(&device, || succeeded(&station.activate(&device)));
        assert_eq!(answering, answer.into_iter().collect(), "{template}");
    }
}
