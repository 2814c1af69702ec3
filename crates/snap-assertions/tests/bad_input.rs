//! Bad streams: an error that names the place, no panic, and bounded memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{BufReader, Read};

use common::{VECTORS, bytes, signer, text};
use miette::Diagnostic as _;
use snap_assertions::{
    DecodeError, DecodeErrorKind, Decoder, HeaderProblem, InvalidHeaderName, MAX_BODY, MAX_HEADERS,
    MAX_SIGNATURE, Part, Signer, SyntaxError, decode,
};

fn error_of(input: &[u8]) -> DecodeError {
    let mut decoder = Decoder::new(input);
    let error = decoder.find_map(Result::err).expect("an error");
    assert!(decoder.next().is_none(), "the iterator must end after an error");
    error
}

/// A reader that counts the bytes read.
struct Counting<R>(R, u64);

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1 += read as u64;
        Ok(read)
    }
}

#[test]
fn a_gibibyte_of_the_same_letter() {
    for (letter, head) in [(b'a', ""), (b'a', "type: "), (b'\r', ""), (0, ""), (0xff, "")] {
        let endless = head.as_bytes().chain(std::io::repeat(letter).take(1 << 30));
        let mut input = Counting(endless, 0);
        let error = Decoder::new(BufReader::new(&mut input))
            .find_map(Result::err)
            .unwrap();
        let too_long = DecodeErrorKind::TooLong {
            part: Part::Headers,
            limit: MAX_HEADERS,
        };
        assert_eq!(format!("{:?}", error.kind), format!("{too_long:?}"), "{letter}");
        assert_eq!((error.assertion, error.line), (1, 1));
        assert!(input.1 < 2 * MAX_HEADERS as u64, "{} bytes were read", input.1);
    }
}

#[test]
fn endless_line_feeds() {
    let input = BufReader::new(std::io::repeat(b'\n').take(1 << 30));
    let error = Decoder::new(input).find_map(Result::err).unwrap();
    let missing = SyntaxError::MissingColon(String::new());
    assert!(matches!(error.kind, DecodeErrorKind::Syntax(kind) if kind == missing));
}

#[test]
fn an_endless_signature_after_good_headers() {
    let head = bytes("model.assert");
    let head = &head[..head.windows(2).position(|pair| pair == b"\n\n").unwrap() + 2];
    let mut input = Counting(head.chain(std::io::repeat(b'A').take(1 << 30)), 0);
    let error = Decoder::new(BufReader::new(&mut input))
        .find_map(Result::err)
        .unwrap();
    let DecodeErrorKind::TooLong { part, limit } = error.kind else {
        panic!("{error}")
    };
    assert_eq!((part, limit), (Part::Signature, MAX_SIGNATURE));
    assert!(input.1 < 2 * MAX_SIGNATURE as u64);
}

/// A model with `length` bytes of headers, including the empty line after them.
fn with_headers_of(length: usize) -> Vec<u8> {
    let file = text("model.assert");
    let filler = length - file.find("\n\n").unwrap() - 2 - "a: \n".len();
    format!("a: {}\n{file}", "x".repeat(filler)).into_bytes()
}

#[test]
fn headers_up_to_the_limit_are_accepted() {
    decode(&with_headers_of(MAX_HEADERS)).unwrap();
    let error = decode(&with_headers_of(MAX_HEADERS + 1)).unwrap_err();
    assert!(
        matches!(
            error.kind,
            DecodeErrorKind::TooLong {
                part: Part::Headers,
                ..
            }
        ),
        "{error}"
    );
}

fn with_body_of(length: usize) -> Vec<u8> {
    let file = text("account-key-issuer.assert");
    let start = file.find("\n\n").unwrap() + 2;
    let head = file[..start].replace("body-length: 718", &format!("body-length: {length}"));
    let signature = &file[start + 718..];
    format!("{head}{}{signature}", "x".repeat(length)).into_bytes()
}

#[test]
fn a_body_up_to_the_limit_is_accepted() {
    assert_eq!(decode(&with_body_of(MAX_BODY)).unwrap().body().len(), MAX_BODY);
    let error = decode(&with_body_of(MAX_BODY + 1)).unwrap_err();
    let DecodeErrorKind::Header(error) = error.kind else {
        panic!("{error}")
    };
    assert_eq!(error.header, "body-length");
}

#[test]
fn truncated_at_every_byte() {
    for (name, key) in VECTORS {
        let file = bytes(&format!("{name}.assert"));
        let key = signer(key);
        for length in 0..file.len() - 1 {
            let error = match decode(&file[..length]) {
                Err(error) => error.to_string(),
                // Truncated in the signature, which can then no longer be verified.
                Ok(cut) => cut
                    .verify(key.public_key())
                    .expect_err("a cut signature")
                    .to_string(),
            };
            assert!(!error.is_empty());
        }
        // The last line feed is not part of the assertion.
        assert!(
            decode(&file[..file.len() - 1])
                .unwrap()
                .verify(key.public_key())
                .is_ok()
        );
    }
}

#[test]
fn truncated_parts_are_named() {
    let file = bytes("serial-request.assert");
    let head = file.windows(2).position(|pair| pair == b"\n\n").unwrap();
    for (length, part) in [
        (1, Part::Headers),
        (head + 1, Part::Headers),
        (head + 10, Part::Body),
    ] {
        let error = error_of(&file[..length]);
        let DecodeErrorKind::Truncated(found) = error.kind else {
            panic!("{error}")
        };
        assert_eq!(found, part, "{length}");
    }
    let error = error_of(&file[..head + 2 + 59]);
    assert!(
        matches!(error.kind, DecodeErrorKind::Truncated(Part::Signature)),
        "{error}"
    );
    let error = error_of(&file[..head + 2 + 59 + 2]);
    assert!(matches!(error.kind, DecodeErrorKind::EmptySignature), "{error}");
}

#[test]
fn carriage_returns() {
    let file = text("model.assert").replace('\n', "\r\n");
    let error = error_of(file.as_bytes());
    assert!(matches!(error.kind, DecodeErrorKind::CarriageReturn), "{error}");
    // Also if the stream is too long for one assertion.
    let error = error_of(file.repeat(200).as_bytes());
    assert!(matches!(error.kind, DecodeErrorKind::CarriageReturn), "{error}");
}

#[test]
fn the_place_is_named_in_a_stream() {
    let good = text("model.assert");
    let lines = good.lines().count() as u64;
    let stream = format!("{good}\n{good}\n{}", good.replace("grade:", "Grade:"));
    let error = error_of(stream.as_bytes());
    assert_eq!(error.assertion, 3);
    // Two assertions with an empty line after each; `grade` is on line 8 of the third.
    assert_eq!(error.line, 2 * (lines + 1) + 8);
    assert_eq!(
        error.line as usize,
        1 + stream.lines().position(|line| line == "Grade: signed").unwrap()
    );
    let invalid = InvalidHeaderName("Grade".into());
    assert!(
        matches!(&error.kind, DecodeErrorKind::Syntax(SyntaxError::InvalidName(name)) if *name == invalid),
        "{error}"
    );
}

#[test]
fn invalid_utf8() {
    let mut file = bytes("hardware-identity-p256.assert");
    let place = file.windows(12).position(|part| part == b"manufacturer").unwrap();
    file[place + 14] = 0xff;
    let error = error_of(&file);
    assert!(
        matches!(error.kind, DecodeErrorKind::NotUtf8(Part::Headers)),
        "{error}"
    );
    let line = file[..place].iter().filter(|byte| **byte == b'\n').count() + 1;
    assert_eq!(error.line, line as u64);

    let mut file = bytes("serial-request.assert");
    let place = file.windows(4).position(|part| part == b"\n\n{\"").unwrap();
    file[place + 3] = 0xff;
    let error = error_of(&file);
    assert!(
        matches!(error.kind, DecodeErrorKind::NotUtf8(Part::Body)),
        "{error}"
    );
}

#[test]
fn repeated_headers() {
    let file = text("model.assert").replace("grade: signed\n", "grade: signed\ngrade: signed\n");
    let error = error_of(file.as_bytes());
    let DecodeErrorKind::Syntax(kind) = error.kind else {
        panic!("{error}")
    };
    assert_eq!((kind, error.line), (SyntaxError::Repeated("grade".into()), 9));
    // Also in a map.
    let file = text("model.assert").replacen("    name: pc\n", "    name: pc\n    name: pc\n", 1);
    let error = error_of(file.as_bytes());
    assert!(
        matches!(&error.kind, DecodeErrorKind::Syntax(SyntaxError::Repeated(name)) if name == "name"),
        "{error}"
    );
}

#[test]
fn body_and_body_length_must_agree() {
    let file = text("serial-request.assert");
    for (length, part) in [("58", "BodyNotSeparated"), ("60", "BodyNotSeparated"), ("0", "")] {
        let changed = file.replace("body-length: 59", &format!("body-length: {length}"));
        match decode(changed.as_bytes()) {
            Err(error) => assert!(format!("{:?}", error.kind).contains(part), "{length}: {error:?}"),
            Ok(_) => panic!("body-length {length} was accepted"),
        }
    }
    for (length, problem) in [
        ("-1", HeaderProblem::OutOfRange("-1".into())),
        ("059", HeaderProblem::LeadingZeros("059".into())),
        ("59.0", HeaderProblem::NotInteger("59.0".into())),
        (
            "99999999999999999999",
            HeaderProblem::OutOfRange("99999999999999999999".into()),
        ),
    ] {
        let changed = file.replace("body-length: 59", &format!("body-length: {length}"));
        let error = error_of(changed.as_bytes());
        let DecodeErrorKind::Header(error) = error.kind else {
            panic!("{error}")
        };
        assert_eq!((error.header.as_str(), error.problem), ("body-length", problem));
    }
}

#[test]
fn an_empty_body_may_have_its_own_empty_line() {
    // As in snapd, the line is then part of the signed content.
    let file = text("model.assert");
    let changed = file.replacen("\n\n", "\n\n\n\n", 1);
    let decoded = decode(changed.as_bytes()).unwrap();
    assert!(decoded.content().ends_with("\n\n") && decoded.body().is_empty());
    assert_eq!(decoded.to_string(), changed);
    assert!(decoded.verify(signer("brand").public_key()).is_err());
}

#[test]
fn headers_of_every_assertion() {
    for (from, to, header) in [
        ("type: model\n", "", "type"),
        ("type: model\n", "type: modem\n", "type"),
        ("type: model\n", "type:\n  - model\n", "type"),
        ("type: model\n", "type: serial-request\n", "authority-id"),
        ("authority-id: brand-acme\n", "", "authority-id"),
        ("authority-id: brand-acme\n", "authority-id: \n", "authority-id"),
        ("series: 16\n", "", "series"),
        ("series: 16\n", "series: \n", "series"),
        ("series: 16\n", "series: 1/6\n", "series"),
        ("series: 16\n", "series: 16\nrevision: -1\n", "revision"),
        ("series: 16\n", "series: 16\nrevision: 01\n", "revision"),
        ("series: 16\n", "series: 16\nformat: x\n", "format"),
        (
            "sign-key-sha3-384: gU",
            "sign-key-sha3-384: U",
            "sign-key-sha3-384",
        ),
        ("sign-key-sha3-384: gU", "sign-key: gU", "sign-key-sha3-384"),
    ] {
        let changed = text("model.assert").replacen(from, to, 1);
        let error = error_of(changed.as_bytes());
        let DecodeErrorKind::Header(kind) = error.kind else {
            panic!("{to:?}: {error}")
        };
        assert_eq!(kind.header, header, "{to:?}");
        assert_eq!((error.assertion, error.line), (1, 1));
    }
}

#[test]
fn unsigned_exports() {
    let export = bytes("hardware-identity-p256.json");
    let error = decode(&export).unwrap_err();
    assert!(matches!(error.kind, DecodeErrorKind::UnsignedExport), "{error}");
    assert_eq!(error.code().unwrap().to_string(), "unsigned-export");
    // Also if it is longer than any headers, or follows an assertion.
    let error = error_of(&export.repeat(200));
    assert!(matches!(error.kind, DecodeErrorKind::UnsignedExport), "{error}");
    let good = text("model.assert");
    let error = error_of(&[good.as_bytes(), b"\n", &export].concat());
    assert!(matches!(error.kind, DecodeErrorKind::UnsignedExport), "{error}");
    assert_eq!(
        (error.assertion, error.line),
        (2, good.lines().count() as u64 + 2)
    );
}

#[test]
fn errors_forward_the_code_and_the_advice_of_their_cause() {
    let file = text("model.assert").replace("series: 16\n", "");
    let error = error_of(file.as_bytes());
    assert_eq!(error.code().unwrap().to_string(), "header-missing");
    assert!(error.help().is_some());
}

#[test]
fn decode_accepts_one_assertion_only() {
    assert!(matches!(decode(b"").unwrap_err().kind, DecodeErrorKind::Empty));
    let good = text("model.assert");
    let error = decode(format!("{good}\n{good}").as_bytes()).unwrap_err();
    assert!(matches!(error.kind, DecodeErrorKind::TrailingText), "{error}");
    assert!(decode(format!("\n{good}").as_bytes()).is_err());
}

#[test]
fn a_failing_reader() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk failed"))
        }
    }
    let file = bytes("model.assert");
    let reader = BufReader::new(file[..100].chain(Failing));
    let error = Decoder::new(reader).find_map(Result::err).unwrap();
    assert!(
        matches!(&error.kind, DecodeErrorKind::Io(reason) if reason.to_string() == "the disk failed"),
        "{error}"
    );
}
