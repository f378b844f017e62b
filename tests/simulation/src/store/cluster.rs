//! The database servers: a primary, its synchronous standby, and what crashes and promotions do to them.

use std::time::Duration;

use portcullis_contract::{id::Serial, position::Position};
use portcullis_domain::Micros;

use super::rows::{Record, Rows};

/// The time at which every simulation begins, in microseconds since 1970.
pub const EPOCH_US: i64 = 1_800_000_000_000_000;

/// The servers, and the clock and the sequences that they share.
pub struct Cluster {
    pub(super) servers: [Server; 2],
    /// The server that may acknowledge writes.
    pub(super) primary: usize,
    /// Whether the standby receives what the primary writes.
    pub(crate) replicates: bool,
    /// Whether a third server confirms what a promoted standby writes. It never becomes a primary.
    has_spare: bool,
    /// The microseconds by which the database's clock is ahead.
    pub(crate) clock_ahead_us: i64,
    /// The greatest time that the clock has shown to a count or a turn.
    pub(super) clock_latest: Micros,
    /// Drawn outside of transactions: a number is never drawn twice.
    pub(super) last_serial: u64,
    /// Every position that any history ever had.
    pub(super) positions: Vec<Position>,
    first: Rows,
}

/// A server.
pub(super) struct Server {
    pub(super) up: bool,
    /// Whether it only receives what the other one writes. It takes no statements then.
    pub(super) is_standby: bool,
    /// Changes with each crash and promotion. Transactions of an earlier one fail.
    pub(super) epoch: u64,
    /// The write-ahead log.
    pub(super) wal: Vec<Record>,
    /// The part of it that the other server has confirmed.
    pub(super) confirmed: usize,
    /// What statements see: the transactions that ended.
    pub(super) rows: Rows,
}

impl Cluster {
    /// Two servers with the same records.
    pub fn new(first: Rows, records: &[Record]) -> Self {
        let mut rows = first.clone();
        let mut positions = vec![rows.head()];
        for record in records {
            rows.apply(record);
            positions.push(rows.head());
        }
        let server = |is_standby| Server {
            up: true,
            is_standby,
            epoch: 0,
            wal: records.to_vec(),
            confirmed: records.len(),
            rows: rows.clone(),
        };
        Self {
            servers: [server(false), server(true)],
            primary: 0,
            replicates: true,
            has_spare: false,
            clock_ahead_us: 0,
            clock_latest: Micros(EPOCH_US),
            last_serial: 0,
            positions,
            first,
        }
    }

    /// The rows of the history that counts.
    pub fn rows(&self) -> &Rows {
        &self.servers[self.primary].rows
    }

    /// The database's clock.
    pub fn clock(&self, elapsed: Duration) -> Micros {
        let passed = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX);
        Micros(EPOCH_US + passed + self.clock_ahead_us)
    }

    /// Draws a serial.
    pub(super) fn draw_serial(&mut self) -> Serial {
        self.last_serial += 1;
        Serial(self.last_serial)
    }

    /// Writes a record on a server, where nobody sees it yet. Returns the end of the log.
    pub(super) fn write(&mut self, server: usize, record: Record) -> usize {
        if let Record::Batch(batch) | Record::Recover(_, batch) = &record {
            self.positions.push(batch.head);
        }
        let server = &mut self.servers[server];
        server.wal.push(record);
        server.wal.len()
    }

    /// Sends the log up to `end` to the standby, if there is one. Returns whether it confirmed.
    pub(super) fn replicate(&mut self, server: usize, end: usize) -> bool {
        if self.servers[server].confirmed >= end {
            return true;
        }
        if self.has_spare && server == self.primary {
            self.servers[server].confirmed = end;
            return true;
        }
        let standby = 1 - server;
        let has_standby = server == self.primary && self.replicates && self.servers[standby].up;
        if !has_standby {
            return false;
        }
        let records = self.servers[server].wal[..end].to_vec();
        self.servers[standby].wal = records;
        self.servers[server].confirmed = end;
        true
    }

    /// Shows a record that was written.
    pub(super) fn show(&mut self, server: usize, end: usize) {
        let server = &mut self.servers[server];
        let record = server.wal[end - 1].clone();
        server.rows.apply(&record);
    }

    /// The primary crashes, and keeps a share of the writes that no standby confirmed.
    pub fn crash(&mut self, kept_percent: u64) {
        let server = &mut self.servers[self.primary];
        server.up = false;
        server.epoch += 1;
        let unsynced = server.wal.len() - server.confirmed;
        let kept = unsynced as u64 * kept_percent / 100;
        let kept = usize::try_from(kept).unwrap_or(unsynced);
        server.wal.truncate(server.confirmed + kept);
    }

    /// The crashed primary starts again.
    pub fn start(&mut self) {
        self.rebuild(self.primary);
        self.servers[self.primary].up = true;
    }

    /// The standby becomes the primary. The old one stays up, without a standby, if it is not down.
    ///
    /// With a spare server the new primary acknowledges writes at once; without one it waits until the old one is its
    /// standby.
    pub fn promote(&mut self, has_spare: bool) {
        self.has_spare = has_spare;
        self.primary = 1 - self.primary;
        self.servers[self.primary].epoch += 1;
        self.servers[self.primary].is_standby = false;
        // Confirmed by nobody yet: the new primary waits for a standby, too.
        self.servers[self.primary].confirmed = 0;
        self.replicates = false;
        self.rebuild(self.primary);
    }

    /// The server that is not the primary becomes its standby, with a copy of its data.
    pub fn rejoin(&mut self) {
        let wal = self.servers[self.primary].wal.clone();
        let confirmed = wal.len();
        self.servers[self.primary].confirmed = confirmed;
        let standby = &mut self.servers[1 - self.primary];
        standby.epoch += 1;
        standby.up = true;
        standby.is_standby = true;
        standby.wal = wal;
        self.rebuild(1 - self.primary);
        self.replicates = true;
        self.has_spare = false;
    }

    /// Goes back to a backup of an earlier moment. Returns the rows that it has.
    pub fn restore(&mut self, lost: usize) -> &Rows {
        let server = &mut self.servers[self.primary];
        let kept = server.wal.len().saturating_sub(lost).max(1);
        server.wal.truncate(kept);
        server.epoch += 1;
        server.up = true;
        self.rebuild(self.primary);
        self.rejoin();
        self.rows()
    }

    /// Writes a record on both servers, while nobody else does.
    pub fn write_alone(&mut self, record: Record) {
        let end = self.write(self.primary, record);
        self.show(self.primary, end);
        self.rejoin();
    }

    /// Shows every record of a server's log: what is there after a start is committed.
    fn rebuild(&mut self, server: usize) {
        let mut rows = self.first.clone();
        for record in &self.servers[server].wal {
            rows.apply(record);
        }
        self.servers[server].rows = rows;
    }

    /// Whether a position belongs to any history that there ever was.
    pub fn ever_had(&self, position: Position) -> bool {
        self.positions.contains(&position)
    }
}
