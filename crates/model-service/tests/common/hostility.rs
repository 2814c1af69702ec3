//! A generator of hostile requests, the same in each run.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// The most headers that are added to an assertion; it may have 128 KiB of them.
const HEADERS: usize = 12_000;
/// The most bytes of all copies of a stream.
const COPIES: usize = 256 * 1024;

/// Numbers that are the same in each run (xorshift, Marsaglia 2003).
pub struct Numbers(u64);

impl Numbers {
    /// Another sequence for each seed.
    pub fn new(seed: u64) -> Self {
        let mut numbers = Self(0x2545_F491_4F6C_DD1D ^ (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        numbers.below(1);
        numbers
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// Usually short, sometimes longer than any limit.
    fn length(&mut self) -> usize {
        let most = [10, 100, 1000, 10_000, 100_000][self.below(5)];
        1 + self.below(most)
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.below(256) as u8).collect()
    }
}

/// One to four changes of bytes, anywhere.
pub fn garble(numbers: &mut Numbers, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    for _ in 0..=numbers.below(4) {
        if body.is_empty() {
            body.push(b'x');
        }
        let (start, length) = (numbers.below(body.len()), 1 + numbers.below(200));
        let end = (start + length).min(body.len());
        match numbers.below(7) {
            0 => body[start] ^= 1 << numbers.below(8),
            1 => drop(body.drain(start..end)),
            2 => {
                let piece = body[start..end].to_vec();
                let place = numbers.below(body.len());
                body.splice(place..place, piece);
            }
            3 => body.truncate(start + 1),
            4 => body[start..end].fill(0),
            5 => {
                let pieces: [&[u8]; 5] = [b"\n\n", b"\n    ", b"\xff\xfe", b"{\"a\":", b"type: model\n"];
                body.splice(start..start, numbers.pick(&pieces).to_vec());
            }
            _ => drop(body.splice(start..end, numbers.bytes(length))),
        }
    }
    body
}

/// The result of [`rebuild`] that needs the most memory.
pub fn bloat(stream: &str) -> String {
    let (first, rest) = stream.split_once('\n').unwrap();
    format!("{first}\n{}\n{rest}", header_lines(HEADERS))
}

/// One to three changes to the structure of a stream of assertions.
pub fn rebuild(numbers: &mut Numbers, stream: &str) -> Vec<u8> {
    let mut lines: Vec<String> = stream.split('\n').map(str::to_owned).collect();
    for _ in 0..=numbers.below(3) {
        let headers: Vec<usize> = (0..lines.len())
            .filter(|line| !lines[*line].starts_with(' ') && lines[*line].contains(": "))
            .collect();
        let Some(place) = headers.get(numbers.below(headers.len().max(1))).copied() else {
            break;
        };
        let name = lines[place].split(':').next().unwrap().to_owned();
        match numbers.below(9) {
            0 => lines[place] = format!("{name}: {}", hostile_value(numbers)),
            1 => lines[place] = format!("{name}:\n{}", nested(numbers)),
            2 => {
                let count = numbers.length().min(HEADERS);
                lines.insert(place, header_lines(count));
            }
            3 => lines.insert(place, lines[place].clone()),
            4 => drop(lines.remove(place)),
            5 => lines.swap(place, headers[numbers.below(headers.len())]),
            6 => lines.truncate(place),
            7 => lines.insert(place, format!("body-length: {}", hostile_number(numbers))),
            _ => {
                let length = numbers.length();
                let end = lines.len() - 1;
                lines[end] = BASE64_STANDARD.encode(numbers.bytes(length));
            }
        }
    }
    match numbers.below(12) {
        0 => lines.join("\r\n").into_bytes(),
        1 => format!("\u{feff}{}", lines.join("\n")).into_bytes(),
        2 => {
            let copy = lines.join("\n") + "\n";
            copy.repeat(1 + numbers.below(1 + COPIES / copy.len()))
                .into_bytes()
        }
        _ => lines.join("\n").into_bytes(),
    }
}

fn hostile_number(numbers: &mut Numbers) -> &'static str {
    numbers.pick(&[
        "-1",
        "0",
        "1",
        "00",
        "+5",
        " 5",
        "0x10",
        "1e9",
        "2147483648",
        "4294967296",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999999999999999",
        "NaN",
        "",
    ])
}

fn hostile_value(numbers: &mut Numbers) -> String {
    match numbers.below(4) {
        0 => hostile_number(numbers).to_owned(),
        1 => "A".repeat(numbers.length()),
        2 => format!("\n    {}", "several\n    ".repeat(numbers.length().min(2000))),
        _ => numbers
            .pick(&[
                "\0",
                "\u{202e}\u{2067}",
                "../../etc/passwd",
                "'; DROP TABLE nonces; --",
                "%s%n",
                "\u{85}",
                "{}",
                "é",
            ])
            .to_owned(),
    }
}

/// Nested lists or maps.
fn nested(numbers: &mut Numbers) -> String {
    let most = [5, 50, 300][numbers.below(3)];
    let depth = 1 + numbers.below(most);
    let list = numbers.below(2) == 0;
    let line = |level: usize| match list {
        true => format!("{}-\n", " ".repeat(2 * level)),
        false => format!("{}a:\n", " ".repeat(2 * level)),
    };
    let lines: String = (1..=depth).map(line).collect();
    format!("{lines}{}- x", " ".repeat(2 * depth + 2))
}

fn header_lines(count: usize) -> String {
    let lines: Vec<_> = (0..count).map(|index| format!("h{index}: v")).collect();
    lines.join("\n")
}

/// A value that a gadget could set as registration.body: JSON or not. `right` has the correct
/// fields.
pub fn registration_body(numbers: &mut Numbers, right: &[(&str, &str)]) -> String {
    if numbers.below(4) == 0 {
        return json(numbers);
    }
    let mut fields = Vec::new();
    for (name, value) in right {
        let value = match numbers.below(3) {
            0 => json(numbers),
            1 => format!("{:?}", BASE64_STANDARD.encode(numbers.bytes(200))),
            _ => format!("{value:?}"),
        };
        fields.push(format!("{name:?}:{value}"));
    }
    if numbers.below(4) == 0 {
        let again = fields[numbers.below(fields.len())].clone();
        fields.push(again);
    }
    format!("{{{}}}", fields.join(","))
}

fn json(numbers: &mut Numbers) -> String {
    let length = numbers.length().min(60_000);
    match numbers.below(6) {
        0 => "[".repeat(length) + &"]".repeat(length),
        1 => "{\"a\":".repeat(length.min(9000)) + "1" + &"}".repeat(length.min(9000)),
        2 => format!("\"{}\"", "x".repeat(length)),
        3 => format!("-{}.{}e{}", "9".repeat(length.min(500)), length, length),
        _ => numbers
            .pick(&[
                "null",
                "true",
                "false",
                "0",
                "-0",
                "1e999",
                "1E-999",
                "123456789012345678901234567890",
                "[]",
                "{}",
                "\"\"",
                "\"\\u0000\"",
                "\"\\ud800\"",
                "\"\\x\"",
                "\"sha1\"",
                "\"SHA-384\"",
                "[null]",
                "{\"\":{}}",
                "nul",
                "{",
                "\"",
                "{\"a\":1,}",
                "'a'",
                "NaN",
                "\u{feff}{}",
                "//",
                "\"\u{202e}\"",
            ])
            .to_owned(),
    }
}

/// A request that is not valid HTTP, or stops within its body; `head` has the header lines that it
/// needs.
pub fn broken_request(numbers: &mut Numbers, path: &str, head: &str, body: &[u8]) -> Vec<u8> {
    let (length, half) = (body.len(), &body[..body.len() / 2]);
    let chunked = "transfer-encoding: chunked\r\n";
    let chunk = |size: &str, piece: &[u8]| [size.as_bytes(), b"\r\n", piece, b"\r\n"].concat();
    let size = format!("{length:x}");
    let (lines, body): (String, Vec<u8>) = match numbers.below(12) {
        0 => (format!("content-length: {}\r\n", 2 * length), body.to_vec()),
        1 => (format!("content-length: {}\r\n", length / 2), body.to_vec()),
        2 => (chunked.into(), chunk("xyz", body)),
        3 => (chunked.into(), chunk(&size, half)),
        4 => (chunked.into(), chunk("ffffffffffffffff", body)),
        5 => (
            chunked.into(),
            chunk(&format!("{size};{}", "a=b;".repeat(9000)), body),
        ),
        6 => (format!("{chunked}content-length: 5\r\n"), chunk(&size, body)),
        7 => (
            format!("content-length: 1\r\ncontent-length: {length}\r\n"),
            body.to_vec(),
        ),
        8 => (
            format!("content-length: {}\r\n", hostile_number(numbers)),
            body.to_vec(),
        ),
        9 => (
            format!(
                "x: {}\r\ncontent-length: {length}\r\n",
                "y".repeat(numbers.length())
            ),
            body.to_vec(),
        ),
        10 => ("h: v\r\n".repeat(numbers.length().min(500)), body.to_vec()),
        _ => (
            format!("content-length: {length}\r\ncontent-encoding: gzip\r\nexpect: 100-continue\r\n"),
            half.to_vec(),
        ),
    };
    let version = numbers.pick(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/9.9", ""]);
    let start = format!("POST {path} {version}\r\nhost: service\r\n{head}{lines}\r\n");
    [start.as_bytes(), &body].concat()
}

/// Content types: wrong, or correct with another spelling.
pub fn content_type(numbers: &mut Numbers, right: &str) -> String {
    match numbers.below(30) {
        0 => String::new(),
        1 => "text/plain".to_owned(),
        2 => format!("{right}; charset=\"utf-8"),
        3 => right.to_uppercase(),
        4 => format!("{right}\u{e9}"),
        5 => "multipart/form-data; boundary=".to_owned(),
        _ => right.to_owned(),
    }
}
