//! Real PostgreSQL: one server a test process, a schema of its own for each case, and whole clusters for faults.

mod binaries;
mod cluster;
mod directory;
mod pooler;

use std::{
    ops::Deref,
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::sync::OnceCell;

pub use self::{
    cluster::{Cluster, url_of_primary},
    pooler::Pooler,
};

/// A command of the newest installed PostgreSQL, as a user that it agrees to run as.
#[must_use]
pub fn command(name: &str) -> std::process::Command {
    binaries::command(name)
}

/// An empty schema of the process's shared server.
pub struct Schema {
    /// Its name, which is also the `application_name` of those who use [`url`](Self::url).
    pub name: String,
    /// Where it is.
    pub url: String,
}

/// A URL whose database nobody else uses.
pub async fn fresh_url() -> String {
    fresh_schema().await.url
}

/// A schema that nobody else uses.
///
/// # Panics
/// When there is no server and none can be started.
pub async fn fresh_schema() -> Schema {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let name = format!("t_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let server = shared().await;
    let made = server
        .admin()
        .await
        .batch_execute(&format!("CREATE SCHEMA {name}"))
        .await;
    made.expect("a schema is made");
    let url = format!(
        "{}?options=-csearch_path%3D{name}&application_name={name}",
        server.url()
    );
    Schema { name, url }
}

/// The server of this process. It stops when the process ends, however it does. Its commits wait for no disk.
pub async fn shared() -> &'static Cluster {
    static SHARED: OnceCell<Cluster> = OnceCell::const_new();
    SHARED.get_or_init(|| Cluster::start(&["fsync=off"])).await
}

/// A connection for looking behind the scenes; it ends when dropped.
pub struct Admin(tokio_postgres::Client);

impl Admin {
    /// The first column of the first row, as text.
    ///
    /// # Panics
    /// When the statement fails or gives nothing.
    pub async fn text(&self, sql: &str) -> String {
        self.maybe_text(sql).await.expect("a row with a value")
    }

    /// The first column of the first row, as text, if there is one.
    ///
    /// # Panics
    /// When the statement fails.
    pub async fn maybe_text(&self, sql: &str) -> Option<String> {
        let messages = self.0.simple_query(sql).await.expect("the statement runs");
        messages.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
    }
}

impl Deref for Admin {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
