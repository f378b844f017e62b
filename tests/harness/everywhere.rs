//! A search of the whole database: every table, every column.

use tokio::task::spawn_blocking;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::{authority::TestAuthority, wait::DEADLINE};

/// The tables that have one of the marks in any column, each with the mark. In bytes, a mark stands as it is.
///
/// # Panics
/// When the database cannot be read.
pub async fn find(authority: &TestAuthority, marks: &[&str]) -> Vec<(String, String)> {
    let url = authority.config.store.url.clone();
    let marks: Vec<String> = marks.iter().map(|mark| (*mark).to_owned()).collect();
    if let Some(directory) = url.strip_prefix("sqlite:") {
        let file = format!("{directory}/portcullis.db");
        return spawn_blocking(move || find_in_sqlite(&file, &marks))
            .await
            .expect("no panic");
    }
    find_in_postgres(&url, &marks).await
}

/// The files of a data directory that have one of the marks, each with the mark.
///
/// # Panics
/// When a file cannot be read, or the database is not SQLite.
#[must_use]
pub fn find_in_files(authority: &TestAuthority, marks: &[&str]) -> Vec<(String, String)> {
    let url = &authority.config.store.url;
    let directory = url.strip_prefix("sqlite:").expect("a data directory");
    let mut found = Vec::new();
    for file in std::fs::read_dir(directory).expect("a directory") {
        let path = file.expect("a file").path();
        let bytes = std::fs::read(&path).expect("its bytes");
        for mark in marks {
            if contains(&bytes, mark.as_bytes()) {
                found.push((path.display().to_string(), (*mark).to_owned()));
            }
        }
    }
    found
}

fn contains(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.windows(mark.len()).any(|window| window == mark)
}

fn find_in_sqlite(file: &str, marks: &[String]) -> Vec<(String, String)> {
    let database = rusqlite::Connection::open(file).expect("the database opens");
    database.busy_timeout(DEADLINE).expect("a timeout");
    let mut found = Vec::new();
    for table in sqlite_tables(&database) {
        let mut rows = database
            .prepare(&format!("SELECT * FROM \"{table}\""))
            .expect("a table");
        let columns = rows.column_count();
        let mut rows = rows.query([]).expect("its rows");
        while let Some(row) = rows.next().expect("a row") {
            for column in 0..columns {
                let bytes = match row.get_ref(column).expect("a value") {
                    rusqlite::types::ValueRef::Text(bytes)
                    | rusqlite::types::ValueRef::Blob(bytes) => bytes,
                    _ => continue,
                };
                note_marks(&mut found, &table, bytes, marks);
            }
        }
    }
    found
}

fn sqlite_tables(database: &rusqlite::Connection) -> Vec<String> {
    let mut names = database
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .expect("a statement");
    let names = names.query_map([], |row| row.get(0)).expect("the tables");
    let tables: Vec<String> = names.collect::<Result<_, _>>().expect("names");
    assert!(tables.len() > 15, "{tables:?}");
    tables
}

fn note_marks(found: &mut Vec<(String, String)>, table: &str, bytes: &[u8], marks: &[String]) {
    for mark in marks {
        let entry = (table.to_owned(), mark.clone());
        if contains(bytes, mark.as_bytes()) && !found.contains(&entry) {
            found.push(entry);
        }
    }
}

async fn find_in_postgres(url: &str, marks: &[String]) -> Vec<(String, String)> {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("the server answers");
    tokio::spawn(connection);
    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()";
    let tables = texts(&client, tables).await;
    assert!(tables.len() > 15, "{tables:?}");
    let mut found = Vec::new();
    for table in tables {
        for row in texts(&client, &format!("SELECT t::text FROM \"{table}\" t")).await {
            note_marks(&mut found, &table, row.as_bytes(), marks);
            // Bytes are shown in hexadecimal digits.
            for mark in marks {
                let digits: String = mark.bytes().map(|byte| format!("{byte:02x}")).collect();
                let entry = (table.clone(), mark.clone());
                if row.contains(&digits) && !found.contains(&entry) {
                    found.push(entry);
                }
            }
        }
    }
    found
}

async fn texts(client: &tokio_postgres::Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await.expect("the statement runs");
    let mut texts = Vec::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            texts.push(row.get(0).unwrap_or_default().to_owned());
        }
    }
    texts
}
