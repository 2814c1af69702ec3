//! The page over HTTP, as a browser requests it.

use super::http::{Answer, Request};
use super::{PASSWORD, Service};

/// A person who is logged in.
pub struct Visitor<'a> {
    service: &'a Service,
    pub cookie: String,
}

impl<'a> Visitor<'a> {
    pub fn log_in(service: &'a Service) -> Self {
        let answer = log_in(service, PASSWORD);
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, Some("/")),
            "{answer:?}"
        );
        let cookie = answer.header("set-cookie").unwrap();
        for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { service, cookie }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path))
    }

    pub fn send(&self, request: Request) -> Answer {
        self.service
            .send(&request.header("cookie", &format!("theme=dark; {}", self.cookie)))
    }

    /// The token in the page's forms.
    pub fn csrf(&self) -> String {
        let page = self.get("/import").body;
        let token = page.split("name=\"csrf\" value=\"").nth(1).unwrap();
        token.split('"').next().unwrap().to_owned()
    }

    pub fn upload(&self, csrf: &str, file: &str) -> Answer {
        let request = Request::post("/import", Self::upload_body(csrf, file));
        self.send(request.header("content-type", "multipart/form-data; boundary=limit"))
    }

    /// The form, with the boundary `limit`.
    pub fn upload_body(csrf: &str, file: &str) -> Vec<u8> {
        let part = |name: &str, more: &str, content: &str| {
            format!("--limit\r\ncontent-disposition: form-data; name=\"{name}\"{more}\r\n\r\n{content}\r\n")
        };
        let file = part(
            "file",
            "; filename=\"a.assert\"\r\ncontent-type: application/octet-stream",
            file,
        );
        format!("{}{file}--limit--\r\n", part("csrf", "", csrf)).into_bytes()
    }
}

pub fn log_in(service: &Service, password: &str) -> Answer {
    service.send(&Request::form("/login", &[("password", password)]))
}
