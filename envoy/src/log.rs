//! What the validator logs, in Envoy's log.

use std::io::{self, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// A function that puts a line into Envoy's log.
pub(crate) type WriteLine = fn(Level, &str);

/// Sends all lines of this module to Envoy's log. Envoy's own settings decide which it shows.
pub(crate) fn start(write: WriteLine) {
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_level(false)
        .with_max_level(Level::INFO)
        .with_writer(ToEnvoy(write))
        .finish();
    // An error means that an earlier configuration has set it.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Says where a panic was, and not what its message is: that could have a header in it.
pub(crate) fn report_panics(write: WriteLine) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string);
        let place = place.unwrap_or_else(|| "an unknown place".into());
        write(
            Level::ERROR,
            &format!("portcullis: a hook panicked at {place}"),
        );
    }));
}

struct ToEnvoy(WriteLine);

/// A line in the making.
struct Line {
    level: Level,
    text: Vec<u8>,
    write: WriteLine,
}

impl<'a> MakeWriter<'a> for ToEnvoy {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            level: Level::INFO,
            text: Vec::new(),
            write: self.0,
        }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line {
        let mut line = self.make_writer();
        line.level = *event.level();
        line
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        (self.write)(self.level, text.trim_end());
    }
}
