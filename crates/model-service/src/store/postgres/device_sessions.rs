//! Sessions of devices in PostgreSQL.

use super::connections::Repeat;
use super::database::PostgresStore;
use super::storable;
use crate::store::device_sessions::SerialRow;
use crate::store::{SerialNumber, StoreError};

/// The device that has a serial, the device key of its last assertion, and whether the hardware
/// identity of the device is blocked, which `device` has the prefix $4 for.
const SERIAL: &str = "
    SELECT held.device, last.device_key, EXISTS (
        SELECT FROM blocked_identities b
        WHERE starts_with(held.device, $4) AND b.key_digest = substr(held.device, length($4) + 1)
    )
    FROM (SELECT) AS one
    LEFT JOIN LATERAL (
        SELECT device FROM serials WHERE serial = $1 AND brand = $2 AND model = $3
    ) AS held ON true
    LEFT JOIN LATERAL (
        SELECT device_key FROM issued WHERE serial = $1 AND brand = $2 AND model = $3
        ORDER BY revision DESC LIMIT 1
    ) AS last ON true";

impl PostgresStore {
    /// The key of sessions that all replicas have: `random` if it is the first one.
    pub(in crate::store) fn session_key(&self, random: String) -> Result<String, StoreError> {
        self.run_blocking(Repeat::Always, |client| {
            let random = random.clone();
            Box::pin(async move {
                let read = "SELECT key FROM session_key";
                if let Some(row) = client.query_opt(read, &[]).await? {
                    return row.try_get(0);
                }
                let add = "INSERT INTO session_key VALUES (1, $1) ON CONFLICT (id) DO NOTHING";
                client.execute(add, &[&random]).await?;
                // That of another replica, if it was faster.
                client.query_one(read, &[]).await?.try_get(0)
            })
        })
    }

    pub(in crate::store) fn serial_row(&self, number: &SerialNumber) -> Result<SerialRow, StoreError> {
        let keys = [&number.serial, &number.brand, &number.model].map(|key| storable(key));
        self.run_briefly(Repeat::Always, |client| {
            let [serial, brand, model] = keys.clone();
            Box::pin(async move {
                let statement = client.prepare_cached(SERIAL).await?;
                let prefix = crate::store::serials::IDENTITY_DEVICE;
                let row = client
                    .query_one(&statement, &[&serial, &brand, &model, &prefix])
                    .await?;
                Ok(SerialRow {
                    device: row.try_get(0)?,
                    device_key: row.try_get(1)?,
                    blocked: row.try_get(2)?,
                })
            })
        })
    }
}
