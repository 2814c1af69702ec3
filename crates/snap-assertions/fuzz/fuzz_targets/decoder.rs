//! Any stream is decoded or refused without a panic. A decoded assertion encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap_assertions::types::{Account, AccountKey, HardwareIdentity, Model, Serial, SerialRequest};
use snap_assertions::{Decoder, decode};

fuzz_target!(|stream: &[u8]| {
    for assertion in Decoder::new(stream).map_while(Result::ok) {
        let again = decode(assertion.to_string().as_bytes()).expect("what was decoded can be read again");
        assert_eq!(again, assertion);
        let _ = Account::try_from(&assertion);
        let _ = AccountKey::try_from(&assertion);
        let _ = HardwareIdentity::check_any_form(assertion.headers());
        let _ = Model::try_from(&assertion);
        let _ = Serial::try_from(&assertion);
        if let Ok(request) = SerialRequest::try_from(&assertion) {
            let _ = assertion.verify(request.device_key());
        }
        if let Ok(signature) = assertion.signature() {
            assert_eq!(snap_assertions::SignaturePacket::decode(&signature.encode()), Ok(signature));
        }
    }
});
