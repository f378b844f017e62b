//! Classes of the driver's errors.

use tokio_postgres::error::SqlState;

use crate::sql::DbError;

/// The class of a driver's error. The text holds the error's code and no values.
pub(super) fn db_error(error: &tokio_postgres::Error) -> DbError {
    let Some(code) = error.code() else {
        return DbError::Unavailable("postgres: no connection".into());
    };
    let mut text = format!("postgres {}", code.code());
    if *code == SqlState::DISK_FULL {
        text.push_str(", the disk is full");
    }
    match *code {
        SqlState::UNIQUE_VIOLATION => DbError::Unique(text),
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::LOCK_NOT_AVAILABLE
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => DbError::Conflict(text),
        _ if is_unavailable(code.code()) => DbError::Unavailable(text),
        _ => DbError::Other(text),
    }
}

/// Whether the connection of an error must not be used again.
pub(super) fn is_unfit(error: &tokio_postgres::Error) -> bool {
    let code = error.code().map_or("", SqlState::code);
    // Closed or about to be (08, 57P0x, 25P03), or to a server that only reads (25006), as a standby does.
    error.is_closed()
        || code.starts_with("08")
        || code.starts_with("57P0")
        || ["25006", "25P03"].contains(&code)
}

fn is_unavailable(code: &str) -> bool {
    // Connection exceptions (08), insufficient resources (53), operator intervention (57), system errors (58), and a
    // server that only reads (25006), as a deposed primary does.
    let class = code.get(..2).unwrap_or_default();
    ["08", "53", "57", "58"].contains(&class) || code == "25006"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_of_any_length_has_a_class() {
        for unavailable in ["08", "08006", "53300", "57P01", "58030", "25006"] {
            assert!(is_unavailable(unavailable), "{unavailable}");
        }
        // A code is what a server says. It may be anything.
        for other in ["", "5", "0", "é", "5é", "23505", "25001", "40001"] {
            assert!(!is_unavailable(other), "{other}");
        }
    }
}
