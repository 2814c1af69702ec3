//! Changes by administrators, for the histories of identities and serials.

use tokio_postgres::{Client, Error, Row};

use crate::store::{Change, ChangeKind, SerialNumber};

/// The changes of an identity and of the serials that it had, newest first.
pub(super) async fn of_device(client: &Client, device: &str) -> Result<Vec<Change>, Error> {
    let find = "SELECT time, kind, device, reason, author, brand, model, serial FROM changes
        WHERE device = $1 ORDER BY id DESC";
    read(&client.query(find, &[&device]).await?)
}

/// The releases of a serial, newest first.
pub(super) async fn of_serial(client: &Client, number: &SerialNumber) -> Result<Vec<Change>, Error> {
    let find = "SELECT time, kind, device, reason, author, brand, model, serial FROM changes
        WHERE serial = $1 AND brand = $2 AND model = $3 ORDER BY id DESC";
    let keys = [&number.serial, &number.brand, &number.model];
    read(&client.query(find, &[&keys[0], &keys[1], &keys[2]]).await?)
}

/// Leaves out kinds that this release does not know.
fn read(rows: &[Row]) -> Result<Vec<Change>, Error> {
    let known = rows.iter().map(read_row).filter_map(Result::transpose);
    known.collect()
}

fn read_row(row: &Row) -> Result<Option<Change>, Error> {
    let Some(kind) = ChangeKind::from_name(row.try_get(1)?) else {
        return Ok(None);
    };
    Ok(Some(Change {
        time: row.try_get(0)?,
        kind,
        device: row.try_get(2)?,
        reason: row.try_get(3)?,
        by: row.try_get(4)?,
        number: SerialNumber {
            brand: row.try_get(5)?,
            model: row.try_get(6)?,
            serial: row.try_get(7)?,
        },
    }))
}
