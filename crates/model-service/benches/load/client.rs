//! A client with little cost: a connection that stays open, and requests that were made before.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::common::ASSERTIONS;

pub struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

/// A request with assertions in its body.
pub fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: service\r\ncontent-type: {ASSERTIONS}\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            answer: vec![0; 64 * 1024],
        }
    }

    /// Sends a request and reads the whole answer, which must announce its length. Returns status
    /// and body.
    pub fn exchange(&mut self, request: &[u8]) -> (u16, &str) {
        self.stream.write_all(request).unwrap();
        let mut read = 0;
        loop {
            let more = self.stream.read(&mut self.answer[read..]).unwrap();
            assert_ne!(more, 0, "the service has closed the connection");
            read += more;
            let text = str::from_utf8(&self.answer[..read]).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let (_, length) = head.split_once("content-length: ").unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() == length {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                let start = read - length;
                return (status, str::from_utf8(&self.answer[start..read]).unwrap());
            }
        }
    }
}
