//! The password of the database role: from the settings, else where libpq finds it.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_postgres::Config;
use tokio_postgres::config::Host;
use zeroize::Zeroizing;

use crate::secret::read_private;
use crate::store::StoreError;

/// Finds the password in `file`, `PGPASSWORD`, or the file that `PGPASSFILE` names (`~/.pgpass` by
/// default). Returns `None` if none of them has one.
pub(super) fn find(config: &Config, file: Option<&Path>) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    if let Some(file) = file {
        let content = read_private(file).map_err(|error| StoreError::ConnectionFile(Arc::new(error)))?;
        return Ok(Some(Zeroizing::new(content.trim_ascii().to_vec())));
    }
    if let Ok(password) = env::var("PGPASSWORD") {
        return Ok(Some(Zeroizing::new(password.into_bytes())));
    }
    let named = env::var_os("PGPASSFILE").map(PathBuf::from);
    let beside_home = || env::var_os("HOME").map(|home| Path::new(&home).join(".pgpass"));
    let Some(path) = named
        .clone()
        .or_else(|| beside_home().filter(|path| path.exists()))
    else {
        return Ok(None);
    };
    let content = read_private(&path).map_err(|error| StoreError::ConnectionFile(Arc::new(error)))?;
    let text = String::from_utf8_lossy(&content);
    Ok(text.lines().find_map(|line| of_line(line, config)))
}

/// The password of a line `HOST:PORT:DATABASE:USER:PASSWORD` that matches (libpq's password file).
fn of_line(line: &str, config: &Config) -> Option<Zeroizing<Vec<u8>>> {
    if line.starts_with('#') {
        return None;
    }
    let fields = fields(line);
    let [host, port, database, user, password] = fields.as_slice() else {
        return None;
    };
    let hosts: Vec<_> = config.get_hosts().iter().map(host_name).collect();
    let ports = match config.get_ports() {
        [] => vec!["5432".to_owned()],
        ports => ports.iter().map(u16::to_string).collect(),
    };
    let user_name = config.get_user().unwrap_or_default();
    let database_name = config.get_dbname().unwrap_or(user_name);
    let matches = |field: &str, value: &str| field == "*" || field == value;
    let found = hosts.iter().any(|name| matches(host, name))
        && ports.iter().any(|number| matches(port, number))
        && matches(database, database_name)
        && matches(user, user_name);
    found.then(|| Zeroizing::new(password.clone().into_bytes()))
}

/// The default directory of sockets is called `localhost` there.
fn host_name(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) if path == Path::new("/var/run/postgresql") => "localhost".to_owned(),
        Host::Unix(path) => path.display().to_string(),
    }
}

/// The fields between colons. A backslash escapes a colon or a backslash.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field) = (Vec::new(), String::new());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => field.extend(characters.next()),
            ':' if fields.len() < 4 => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_matches_has_the_password() {
        let config: Config = "postgres://me@db.example:5433/fleet".parse().unwrap();
        for (line, password) in [
            ("db.example:5433:fleet:me:secret", Some("secret")),
            ("*:*:*:*:se\\:cr\\\\et", Some("se:cr\\et")),
            ("db.example:5432:fleet:me:secret", None),
            ("db.example:*:other:me:secret", None),
            ("# db.example:5433:fleet:me:secret", None),
            ("db.example:5433", None),
        ] {
            let found = of_line(line, &config).map(|found| String::from_utf8(found.to_vec()).unwrap());
            assert_eq!(found.as_deref(), password, "{line}");
        }
    }
}
