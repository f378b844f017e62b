//! The server's settings, in words for the operator.

use tokio_postgres::{Client, SimpleQueryMessage};

use super::connection::db_error;
use crate::store::sql::DbError;

/// The settings as the server has them for this role and database, not as a session of the service changed them.
const SERVER: &str = "SELECT name, reset_val FROM pg_settings WHERE name IN \
     ('fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names')";

/// The level of durability that an acknowledgement has, and the server's settings behind it.
pub(super) async fn describe(client: &Client) -> Result<String, DbError> {
    let messages = client
        .simple_query(SERVER)
        .await
        .map_err(|error| db_error(&error))?;
    let rows: Vec<_> = messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((row.get(0)?, row.get(1)?)),
            _ => None,
        })
        .collect();
    let setting = |wanted: &str| {
        rows.iter()
            .find(|(name, _)| *name == wanted)
            .map_or("", |(_, value)| *value)
    };
    Ok(words(
        setting("fsync"),
        setting("full_page_writes"),
        setting("synchronous_commit"),
        setting("synchronous_standby_names"),
    ))
}

fn words(fsync: &str, full_page_writes: &str, commit: &str, standbys: &str) -> String {
    if fsync == "off" {
        return "none: PostgreSQL runs with fsync=off, a crash of its machine loses revocations and sign-ins"
            .into();
    }
    let place = match standbys {
        "" => "one server's disk: fsync=on, no synchronous standby",
        _ => "a synchronous standby: fsync=on",
    };
    let commit = match commit {
        "off" | "local" | "remote_write" => format!(
            "synchronous_commit=on for every write of this service (the server's default is {commit})"
        ),
        higher => format!("synchronous_commit={higher}"),
    };
    let pages = match full_page_writes {
        "off" => ", full_page_writes=off: a crash of its machine may damage pages",
        _ => "",
    };
    format!("{place}, {commit}{pages}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_s_own_settings_are_named() {
        assert!(words("off", "on", "on", "").starts_with("none: "));
        assert_eq!(
            words("on", "on", "on", ""),
            "one server's disk: fsync=on, no synchronous standby, synchronous_commit=on"
        );
        assert_eq!(
            words("on", "on", "local", "FIRST 1 (a)"),
            "a synchronous standby: fsync=on, synchronous_commit=on for every write of this service (the server's \
             default is local)"
        );
        assert!(words("on", "off", "remote_apply", "a").contains("remote_apply, full_page_writes"));
    }
}
