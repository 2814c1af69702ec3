//! Probes that the database can be written.

use std::time::Duration;

use super::StoreError;
use crate::recent::Recent;

/// How long the result of a probe is used: anybody can ask, and a probe writes.
const USED_FOR: Duration = Duration::from_secs(1);

/// The last probe.
#[derive(Default)]
pub(super) struct LastProbe(Recent<Result<(), StoreError>>);

impl LastProbe {
    /// The result of the last probe if it is recent, else of this one.
    pub(super) async fn result(
        &self,
        probe: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        self.0.get(probe, |_, _| USED_FOR).await
    }
}
