//! What a sign-in looks like, and what is suspicious about it.

use super::{core::Core, status::ServiceError};
use crate::domain::{
    NewSession, Policy, Sight,
    device::Device,
    findings::{Footprint, FootprintKind, SignIn},
};

impl Core {
    /// Looks at a sign-in before its session is opened: the place, the device, and what is known of the user.
    pub(super) async fn look_at(
        &self,
        new: &mut NewSession,
        device: Device,
        policy: &Policy,
    ) -> Result<(), ServiceError> {
        let ip = new.client.ip.parse().ok();
        let place = ip.map(|ip| self.places.lookup(ip)).unwrap_or_default();
        let mut sign_in = SignIn {
            at: Default::default(),
            ip,
            place,
            device_id: new.client.device_id.clone(),
            device,
        };
        new.footprints = sign_in.footprints();
        let known = self
            .store
            .known(&new.tenant_id, &new.user_id, &new.footprints)
            .await?;
        sign_in.at = known.now;
        let findings = sign_in.findings(&known.history, &policy.findings_disabled);
        // Only sign-ins by device id are counted; of the others it is enough to be known.
        let counts = |footprint: &Footprint| footprint.kind == FootprintKind::DeviceId;
        new.footprints
            .retain(|footprint| counts(footprint) || !known.history.footprints.contains(footprint));
        let has_id = !new.client.device_id.is_empty();
        new.sight = Sight {
            device: sign_in.device,
            place: sign_in.place,
            device_sign_ins: if has_id {
                known.device_sign_ins.saturating_add(1)
            } else {
                0
            },
            findings,
        };
        Ok(())
    }
}
