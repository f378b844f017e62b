//! The durability that the server's settings give, in words for the operator.

use std::collections::HashMap;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::error::db_error;
use crate::sql::DbError;

/// The settings of the server for this role and database, before a session of the service changed them.
const SERVER: &str = "SELECT name, reset_val FROM pg_settings WHERE name IN \
     ('fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names')";

/// Describes the durability of an acknowledgement and the server's settings behind it.
pub(super) async fn describe(client: &Client) -> Result<String, DbError> {
    let messages = client
        .simple_query(SERVER)
        .await
        .map_err(|error| db_error(&error))?;
    let mut settings: HashMap<&str, &str> = HashMap::new();
    for message in &messages {
        if let SimpleQueryMessage::Row(row) = message
            && let (Some(name), Some(value)) = (row.get(0), row.get(1))
        {
            settings.insert(name, value);
        }
    }
    let setting = |name: &str| settings.get(name).copied().unwrap_or_default();
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
    // The commit level alone says nothing: without a standby even remote_apply waits for one disk.
    let level = match standbys {
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
    format!("{level}, {commit}{pages}")
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
