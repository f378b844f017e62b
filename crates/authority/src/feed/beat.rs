//! Beats: the proof that a validator asks for.

use std::{sync::Arc, time::Duration};

use prost::bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::sharing::Sharing;
use crate::{
    health::{Condition, Pulse, Readiness, Supervisor},
    keys::HeadCodes,
    store::{Beat, EnforcementStore, StoreError},
};

/// The most probes that wait at a time.
const PROBES_MAX: usize = 65_536;
/// The most times that a roster is written for one beat.
// The second try is for a row that another authority removed between the write and the beat.
const ROSTER_TRIES: usize = 2;

/// A beat with the code over its head. Every stream that the beat answers sends the same one.
#[derive(Clone, Debug)]
pub struct SignedBeat {
    /// The beat.
    pub beat: Beat,
    /// Proves to an authority that a beat named the head.
    pub head_code: Bytes,
}

/// Asks for beats. One beat answers every probe that waited when it began.
#[derive(Clone)]
pub struct Beats {
    probes: mpsc::Sender<oneshot::Sender<SignedBeat>>,
    authority: [u8; 16],
}

impl Beats {
    /// Starts beating: on request, and each `interval` without a request, so that readiness knows whether the store
    /// answers. It ends when all handles are dropped.
    pub(crate) fn start(
        store: Arc<dyn EnforcementStore>,
        heads: Arc<HeadCodes>,
        sharing: Arc<Sharing>,
        interval: Duration,
        tasks: &Supervisor,
    ) -> Self {
        let (probes, waiting) = mpsc::channel(PROBES_MAX);
        let authority = sharing.authority();
        let beating = Beating {
            store,
            heads,
            sharing,
            interval,
            readiness: Arc::clone(tasks.readiness()),
        };
        tasks.spawn("beat", beating.run(waiting));
        Self { probes, authority }
    }

    /// The id under which the authority beats.
    #[must_use]
    pub fn authority(&self) -> [u8; 16] {
        self.authority
    }

    /// Asks for the head, as a beat that begins after this call returns it. The answer does not come when there was no
    /// durable read of the head: silence is not freshness. Answers come in the order of the questions. None when too many
    /// wait.
    #[must_use]
    pub fn ask(&self) -> Option<oneshot::Receiver<SignedBeat>> {
        let (reply, answer) = oneshot::channel();
        // Never waits for room, because the stream that asks could send no batch meanwhile.
        self.probes.try_send(reply).ok()?;
        Some(answer)
    }
}

struct Beating {
    store: Arc<dyn EnforcementStore>,
    heads: Arc<HeadCodes>,
    sharing: Arc<Sharing>,
    interval: Duration,
    readiness: Arc<Readiness>,
}

impl Beating {
    async fn run(self, mut waiting: mpsc::Receiver<oneshot::Sender<SignedBeat>>) {
        loop {
            // Only those who wait before the beat begins may be answered by it.
            let mut answered = match timeout(self.interval, waiting.recv()).await {
                Ok(None) => return,
                Ok(Some(first)) => vec![first],
                Err(_) => Vec::new(),
            };
            while let Ok(next) = waiting.try_recv() {
                answered.push(next);
            }
            self.beat(answered).await;
        }
    }

    async fn beat(&self, answered: Vec<oneshot::Sender<SignedBeat>>) {
        match self.try_beat().await {
            Ok(beat) => {
                // Also with a clock that was set back: the store answers, and the clock is a
                // condition of its own.
                self.readiness.succeed(Pulse::Beat);
                if self.reports_set_back(&beat) {
                    // As without a beat: the gates grow stale, until everyone has been signed out.
                    return;
                }
                // Signed once, since thousands of streams may wait for one beat.
                let signed = SignedBeat {
                    head_code: self.heads.sign(beat.head),
                    beat,
                };
                for reply in answered {
                    // A stream that has ended does not need the answer.
                    let _ = reply.send(signed.clone());
                }
            }
            Err(error) => {
                // The channels in `answered` close without an answer, and the gates grow stale by themselves.
                self.readiness.fail(Pulse::Beat, &error);
                error.log("no beat");
            }
        }
    }

    /// Whether the database's clock is below its floor. Readiness then says so until it is not any more.
    fn reports_set_back(&self, beat: &Beat) -> bool {
        if !beat.is_set_back() {
            self.readiness.lower(Condition::Clock);
            return false;
        }
        self.readiness.raise(
            Condition::Clock,
            "the database's clock was set back, and revoked tokens may be valid again: if it stays so, everyone is \
             signed out"
                .into(),
        );
        true
    }

    /// Beats once all validators whose probes wait are in the roster that the other authorities read.
    ///
    /// The beat itself reads back which roster is there. So an authority that reads the rosters after a revision was
    /// committed finds every validator that any authority proved fresh without it.
    async fn try_beat(&self) -> Result<Beat, StoreError> {
        let needed = self.sharing.roster_version();
        for _ in 0..ROSTER_TRIES {
            self.sharing.share_roster(needed).await?;
            let beat = self.store.beat(&self.sharing.authority()).await?;
            if beat.roster >= needed {
                return Ok(beat);
            }
            // Another authority took this one for dead, and removed its row.
            self.sharing.forget_shared();
        }
        Err(StoreError::Unavailable(
            "the row of this authority's validators does not stay".into(),
        ))
    }
}

#[cfg(test)]
mod tests;
