//! The connections of the streams, for the reports.

use std::sync::Arc;

use portcullis_validator_core::Line;
use tokio::sync::watch;
use tonic::transport::Channel;

/// The connections that the streams have now.
#[derive(Clone)]
pub(crate) struct Channels(Arc<watch::Sender<Open>>);

/// The connections at one moment.
#[derive(Clone, Default)]
pub(crate) struct Open {
    lines: [Option<Channel>; 2],
    /// The line that reports go over: the first that connected, for as long as it is connected.
    chosen: Option<Line>,
}

impl Open {
    /// The connection that reports go over.
    pub(crate) fn chosen(&self) -> Option<Channel> {
        self.lines[self.chosen? as usize].clone()
    }

    /// The other connection, where there is one.
    pub(crate) fn other(&self) -> Option<Channel> {
        self.lines[self.chosen?.other() as usize].clone()
    }

    /// Keeps the choice while its line is connected. Returns whether there is another choice now.
    fn choose(&mut self) -> bool {
        let before = self.chosen;
        let is_open = |line: &Line| self.lines[*line as usize].is_some();
        let kept = before.filter(is_open);
        self.chosen = match kept {
            Some(line) => Some(line),
            None => [Line::First, Line::Second].into_iter().find(is_open),
        };
        self.chosen != before
    }
}

impl Channels {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Open::default())))
    }

    /// Subscribes to the choice. A second connection, and the loss of it, wake nobody.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Open> {
        self.0.subscribe()
    }

    pub(crate) fn insert(&self, line: Line, channel: Channel) {
        self.0.send_if_modified(|open| {
            open.lines[line as usize] = Some(channel);
            // If the chosen line connects anew, the choice stays but its channel is another, so the
            // reporter must see it.
            open.choose() || open.chosen == Some(line)
        });
    }

    pub(crate) fn remove(&self, line: Line) {
        self.0.send_if_modified(|open| {
            open.lines[line as usize] = None;
            open.choose()
        });
    }
}

#[cfg(test)]
mod tests {
    use tonic::transport::Endpoint;

    use super::*;

    #[tokio::test]
    async fn reports_stay_with_a_connection_while_it_lives_and_move_to_the_other_then() {
        let channel = || Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let channels = Channels::new();
        let mut open = channels.subscribe();
        assert!(open.borrow_and_update().chosen().is_none());

        channels.insert(Line::Second, channel());
        assert!(open.has_changed().expect("open"));
        assert_eq!(open.borrow_and_update().chosen, Some(Line::Second));
        channels.insert(Line::First, channel());
        assert!(
            !open.has_changed().expect("open"),
            "nothing to report at once"
        );
        assert_eq!(open.borrow().chosen, Some(Line::Second));
        assert!(open.borrow().other().is_some());

        channels.remove(Line::Second);
        assert!(open.has_changed().expect("open"));
        assert_eq!(open.borrow_and_update().chosen, Some(Line::First));
        assert!(open.borrow().other().is_none());
        channels.remove(Line::First);
        assert!(open.borrow_and_update().chosen().is_none());
    }
}
