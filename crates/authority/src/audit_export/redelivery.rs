//! Dead letters that an operator wants delivered once more.

use std::time::Duration;

use tokio::time::Instant;

use super::{Delivery, DeliveryError, End, Exporter};
use crate::domain::AuditEvent;

/// The most dead letters that are delivered before the trail goes on.
const DUE_MAX: u32 = 100;
/// The pause between two looks.
const LOOK: Duration = Duration::from_secs(2);

impl Exporter {
    /// Delivers due dead letters, outside of the order of the trail.
    pub(super) async fn redeliver(&mut self, fence: u64) -> Result<(), End> {
        let looked = self.looked_for_dead_letters;
        if looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return Ok(());
        }
        self.looked_for_dead_letters = Some(Instant::now());
        let due = match self.store.due_dead_letters(&self.name, DUE_MAX).await {
            Ok(due) => due,
            Err(error) => {
                error.log("the dead letters of an audit export were not read");
                return Err(End::Failed);
            }
        };
        for event in due {
            self.redeliver_letter(fence, &event).await?;
        }
        Ok(())
    }

    async fn redeliver_letter(&mut self, fence: u64, event: &AuditEvent) -> Result<(), End> {
        let delivery = Delivery {
            export: &self.name,
            fence,
            store: &*self.store,
            metrics: &self.metrics,
        };
        let position = event.position;
        let outcome = match self.destination.deliver_once(event, &delivery).await {
            Ok(()) => self.store.remove_dead_letter(&self.name, position).await,
            // Not due any more: an operator who asked once is not answered for ever.
            Err(DeliveryError::Failed(problem)) => {
                let buried = self.store.bury_event(&self.name, fence, position, &problem);
                buried.await.map(drop)
            }
            Err(DeliveryError::Gone) => return Err(End::Gone),
            Err(DeliveryError::Lost) => return Err(End::Lost),
        };
        outcome.map_err(|error| {
            error.log("a dead letter of an audit export is delivered again");
            End::Failed
        })
    }
}
