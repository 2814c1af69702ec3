//! Changes by administrators, for the histories of identities and serials.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error};

use super::columns::read_all;
use super::lists::with_parameters;
use crate::store::{Change, SerialNumber};

/// The changes of an identity and of the serials that it had, newest first.
pub(super) async fn of_device(client: &Client, device: &str) -> Result<Vec<Change>, Error> {
    find(client, Change::OF_DEVICE, &[&device]).await
}

/// The releases of a serial, newest first.
pub(super) async fn of_serial(client: &Client, number: &SerialNumber) -> Result<Vec<Change>, Error> {
    find(
        client,
        Change::OF_SERIAL,
        &[&number.serial, &number.brand, &number.model],
    )
    .await
}

async fn find(client: &Client, query: &str, keys: &[&(dyn ToSql + Sync)]) -> Result<Vec<Change>, Error> {
    let rows = client.query(&with_parameters(query), keys).await?;
    let found: Vec<Option<Change>> = read_all(&rows)?;
    Ok(found.into_iter().flatten().collect())
}
