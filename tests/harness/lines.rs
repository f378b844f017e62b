//! Log lines of this process, as an operator would read them.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// Captured lines.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Captures the lines of this process that `filter` lets through. Later calls return the first capture.
    ///
    /// # Panics
    /// When the process has a subscriber already.
    pub fn capture(filter: &str) -> Self {
        static CAPTURED: OnceLock<Lines> = OnceLock::new();
        let start = || {
            let lines = Self::default();
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(lines.clone())
                .with_env_filter(EnvFilter::new(filter));
            subscriber.try_init().expect("the only subscriber");
            lines
        };
        CAPTURED.get_or_init(start).clone()
    }

    /// All of them.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("whole")).into_owned()
    }

    /// The lines that contain all of `words`.
    #[must_use]
    pub fn with(&self, words: &[&str]) -> Vec<String> {
        self.text()
            .lines()
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .map(str::to_owned)
            .collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("whole").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
