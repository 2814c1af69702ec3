//! A small HTTP client. It sends exactly the given bytes, which may be wrong.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The announced length, if it is not that of the body.
    length: Option<usize>,
}

impl Request {
    pub fn get(path: &str) -> Self {
        Self {
            method: "GET".into(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
            length: None,
        }
    }

    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            method: "POST".into(),
            body: body.into(),
            ..Self::get(path)
        }
    }

    pub fn method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    /// With the fields of a form in the body.
    pub fn form(path: &str, fields: &[(&str, &str)]) -> Self {
        let encode = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02x}")).collect() };
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        Self::post(path, fields.join("&")).header("content-type", "application/x-www-form-urlencoded")
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn announced(mut self, length: usize) -> Self {
        self.length = Some(length);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.bytes_for("close")
    }

    fn bytes_for(&self, connection: &str) -> Vec<u8> {
        let mut text = format!(
            "{} {} HTTP/1.1\r\nhost: service\r\nconnection: {connection}\r\n",
            self.method, self.path
        );
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!(
            "content-length: {}\r\n\r\n",
            self.length.unwrap_or(self.body.len())
        );
        [text.as_bytes(), &self.body].concat()
    }

    pub fn send(&self, address: SocketAddr) -> Answer {
        self.send_over(TcpStream::connect(address).unwrap(), |stream| {
            // A body that is announced but not sent.
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        })
    }

    /// Sends the head alone, and waits until the service asks for the body.
    pub fn begin(&self, address: SocketAddr) -> Begun {
        let whole = self.clone().header("expect", "100-continue").bytes();
        let (head, body) = whole.split_at(whole.len() - self.body.len());
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(head).unwrap();
        let mut interim = [0; 25];
        stream.read_exact(&mut interim).unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        let body = body.to_vec();
        Begun { stream, body }
    }

    pub fn send_over<S: Read + Write>(&self, mut stream: S, sent: impl FnOnce(&mut S)) -> Answer {
        // A service that has read enough may close before everything is sent.
        let _ = stream.write_all(&self.bytes());
        if self.length.is_some() {
            sent(&mut stream);
        }
        Answer::read(&mut stream)
    }
}

/// A request whose body the service waits for.
pub struct Begun {
    stream: TcpStream,
    body: Vec<u8>,
}

impl Begun {
    pub fn finish(self) -> Answer {
        Answer::read(&mut self.send())
    }

    /// Sends the body. Returns the connection that the answer will come from.
    pub fn send(mut self) -> TcpStream {
        self.stream.write_all(&self.body).unwrap();
        self.stream
    }
}

/// A connection for many requests, one after the other.
pub struct Kept {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Kept {
    pub fn new(address: SocketAddr) -> Self {
        let stream = None;
        Self { address, stream }
    }

    /// Sends a request, over a new connection if the service has closed the last one.
    pub fn send(&mut self, request: &Request) -> Answer {
        if let Some(Ok(answer)) = self.stream.as_mut().map(|stream| exchange(stream, request)) {
            return answer;
        }
        let connection = TcpStream::connect(self.address).unwrap();
        connection.set_nodelay(true).unwrap();
        let stream = self.stream.insert(BufReader::new(connection));
        exchange(stream, request).expect("an answer")
    }
}

fn exchange(stream: &mut BufReader<TcpStream>, request: &Request) -> io::Result<Answer> {
    stream.get_mut().write_all(&request.bytes_for("keep-alive"))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = String::from_utf8_lossy(&answer).to_lowercase();
    let length = head
        .split_once("content-length: ")
        .map(|(_, rest)| rest.lines().next().unwrap());
    match length {
        Some(length) => {
            stream.take(length.parse().unwrap()).read_to_end(&mut answer)?;
        }
        None => {
            assert!(head.contains("transfer-encoding: chunked"), "{head}");
            while !answer.ends_with(b"\r\n0\r\n\r\n") {
                stream.read_until(b'\n', &mut answer)?;
            }
        }
    }
    Ok(Answer::parse(&answer))
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// Reads until the connection ends.
    pub fn read(stream: &mut impl Read) -> Self {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        Self::parse(&answer)
    }

    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Answer {
            status,
            headers,
            body: body.to_owned(),
        };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = dechunked(body);
        }
        answer
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The code of a refusal, which must have the form that snapd reads.
    #[track_caller]
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let json = self.json();
        let message = json["message"].as_str().unwrap();
        for list in ["error-list", "error_list"] {
            assert_eq!(json[list].as_array().unwrap().len(), 1);
            assert_eq!(json[list][0]["message"], message);
        }
        assert!(message.len() > 20, "a sentence: {message}");
        assert_eq!(json["code"], json["error_list"][0]["code"]);
        let [code, cause, advice] = ["code", "cause", "advice"].map(|name| json[name].as_str().unwrap());
        assert_eq!(message, format!("{cause}. {advice}. [{code}]"));
        json["error_list"][0]["code"].as_str().unwrap().to_owned()
    }

    /// Fails unless this is the refusal.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.code().as_str()),
            (status, code),
            "{}",
            self.body
        );
    }
}

fn dechunked(mut body: &str) -> String {
    let mut whole = String::new();
    loop {
        let (length, rest) = body.split_once("\r\n").unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            return whole;
        }
        whole += &rest[..length];
        body = &rest[length + 2..];
    }
}
