//! The page of a running service, open in a browser.

use super::webdriver::Browser;
use super::{Bench, PASSWORD, Service};

pub struct World {
    pub bench: Bench,
    pub service: Service,
    pub browser: Browser,
}

impl World {
    pub fn new() -> Self {
        Self::with(Browser::start())
    }

    pub fn with(browser: Browser) -> Self {
        let bench = Bench::new();
        let service = bench.serve();
        Self {
            bench,
            service,
            browser,
        }
    }

    /// The browser is logged in.
    pub fn logged_in() -> Self {
        let world = Self::new();
        world.log_in(PASSWORD);
        world
    }

    pub fn open(&self, path: &str) {
        self.browser
            .open(&format!("http://{}{path}", self.service.address));
    }

    #[track_caller]
    pub fn is_at(&self, path: &str) {
        assert_eq!(
            self.browser.url(),
            format!("http://{}{path}", self.service.address)
        );
    }

    pub fn log_in(&self, password: &str) {
        self.open("/login");
        self.browser.find("input[type=password]").fill(password);
        self.browser.find("main button").follow();
    }

    pub fn search(&self, text: &str) {
        self.browser.find("input[type=search]").fill(text);
        self.browser.find("form[role=search] button").follow();
    }

    pub fn upload(&self, assertions: &str) {
        let file: std::path::PathBuf = self.bench.write("upload.assert", assertions.as_bytes());
        self.open("/import");
        self.browser.find("input[type=file]").choose_file(&file);
        self.browser.find("main button").follow();
    }

    /// Fills in the reason of the change that the page offers, and sends it.
    pub fn give_reason(&self, reason: &str) {
        self.browser.find("#reason").fill(reason);
        self.browser.find("section button").follow();
    }

    /// Fails unless the page shows exactly this error.
    #[track_caller]
    pub fn shows_error(&self, code: &str) {
        let errors = self.browser.texts("[role=alert]");
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].ends_with(&format!("[{code}]")), "{errors:?}");
    }

    /// The first cell of each row.
    pub fn first_cells(&self) -> Vec<String> {
        self.browser.texts("tbody th")
    }

    /// The counts of the report, in their order.
    pub fn counts(&self) -> [u64; 5] {
        let counts: Vec<u64> = self
            .browser
            .texts("dd")
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        counts.try_into().unwrap()
    }
}
