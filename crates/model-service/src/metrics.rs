//! Metrics of the running service, for Prometheus.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::store::Counts;

/// A part of a registration that takes time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// Reading the request, and every check before the nonce.
    Parse,
    /// Consuming the nonce.
    Nonce,
    /// Finding the identity and verifying its signature.
    Proof,
    /// Signing the serial.
    Sign,
    /// Storing what is answered.
    Store,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Nonce => "nonce",
            Self::Proof => "proof",
            Self::Sign => "sign",
            Self::Store => "store",
        }
    }
}

/// A gauge of something that is counted.
type Count = Gauge<u64, AtomicU64>;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OutcomeLabels {
    outcome: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct PhaseLabels {
    phase: &'static str,
}

/// What is counted while the service runs.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    registrations: Family<OutcomeLabels, Counter>,
    device_sessions: Family<OutcomeLabels, Counter>,
    /// Requests of devices that wait for the database or a serial key.
    pub(crate) waiting_requests: Gauge,
    phases: Family<PhaseLabels, Histogram>,
    imports: Family<OutcomeLabels, Counter>,
    stored: Stored,
}

/// What is read for each scrape.
#[derive(Default)]
struct Stored {
    signer_ready: Gauge,
    store_ready: Gauge,
    running_imports: Gauge,
    identities: Count,
    blocked: Count,
    serials: Count,
    open_nonces: Count,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("model_service"),
            requests: Family::default(),
            registrations: Family::default(),
            device_sessions: Family::default(),
            waiting_requests: Gauge::default(),
            // From 50 µs to 26 s.
            phases: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_05, 2.0, 20))),
            imports: Family::default(),
            stored: Stored::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Requests by route and status", self.requests.clone());
        registry.register(
            "registrations",
            "Requests for a serial by outcome: issued, repeated or the code of a refusal",
            self.registrations.clone(),
        );
        registry.register(
            "device_sessions",
            "Requests for a session by outcome: given or the code of a refusal",
            self.device_sessions.clone(),
        );
        registry.register(
            "waiting_requests",
            "Requests of devices that wait for the database or a serial key",
            self.waiting_requests.clone(),
        );
        registry.register(
            "registration_phase_seconds",
            "Time of the phases of a registration",
            self.phases.clone(),
        );
        registry.register(
            "imports",
            "Imports by outcome: stored, refused or failed",
            self.imports.clone(),
        );
        registry.register(
            "signer_ready",
            "1 if all serial keys can sign",
            self.stored.signer_ready.clone(),
        );
        registry.register(
            "store_ready",
            "1 if the database can be written",
            self.stored.store_ready.clone(),
        );
        registry.register(
            "running_imports",
            "Imports that run",
            self.stored.running_imports.clone(),
        );
        for (name, help, count) in [
            (
                "identities",
                "Imported hardware identities",
                &self.stored.identities,
            ),
            (
                "blocked_identities",
                "Blocked hardware identities",
                &self.stored.blocked,
            ),
            ("serials", "Serials that devices have", &self.stored.serials),
            (
                "open_nonces",
                "Nonces that devices can still use",
                &self.stored.open_nonces,
            ),
        ] {
            registry.register(name, help, count.clone());
        }
    }

    /// Counts a request. `route` is that of the router, not the path, which anybody can choose.
    pub(crate) fn count_request(&self, method: &'static str, route: &str, status: u16) {
        let labels = RequestLabels {
            method,
            route: route.to_owned(),
            status,
        };
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts a request for a serial. `outcome` is `issued`, `repeated` or the code of an error.
    pub(crate) fn count_registration(&self, outcome: String) {
        self.registrations.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts a request for a session. `outcome` is `given` or the code of an error.
    pub(crate) fn count_session(&self, outcome: String) {
        self.device_sessions
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
    }

    pub(crate) fn count_import(&self, outcome: &str) {
        let outcome = outcome.to_owned();
        self.imports.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Adds the time since `start` to a phase.
    pub(crate) fn observe(&self, phase: Phase, start: Instant) {
        let labels = PhaseLabels { phase: phase.name() };
        self.phases
            .get_or_create(&labels)
            .observe(start.elapsed().as_secs_f64());
    }

    /// Runs `work` as a phase.
    pub(crate) fn time<T>(&self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.observe(phase, start);
        result
    }

    /// Sets what is read for each scrape; the counts stay as they were without new ones.
    pub(crate) fn set_stored(
        &self,
        ready: bool,
        signers_ready: bool,
        running_imports: usize,
        counts: Option<Counts>,
    ) {
        let stored = &self.stored;
        stored.signer_ready.set(signers_ready.into());
        stored.store_ready.set(ready.into());
        stored
            .running_imports
            .set(i64::try_from(running_imports).unwrap_or(i64::MAX));
        if let Some(counts) = counts {
            stored.identities.set(counts.identities);
            stored.blocked.set(counts.blocked);
            stored.serials.set(counts.serials);
            stored.open_nonces.set(counts.open_nonces);
        }
    }

    /// All metrics in the text format of OpenMetrics 1.0.
    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let mut encoded = String::new();
        text::encode(&mut encoded, &self.registry)?;
        Ok(encoded)
    }
}
