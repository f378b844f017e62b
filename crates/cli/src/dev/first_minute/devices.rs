//! All devices of the demonstration. Each asks the gateway every second, and at once when the gateway cuts its stream.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_contract::{random, v1::Client};
use tokio::{sync::watch, task::AbortHandle, time::sleep};

use super::{
    accounts::Accounts,
    clicks::Clicks,
    device::{Device, View},
    door::{Door, Events},
    people::Person,
    places::Town,
};

/// The most devices. The oldest one leaves when another signs in.
const DEVICES_MAX: usize = 24;

/// The time between two requests of a device.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// The devices. Clones share them.
#[derive(Clone)]
pub(super) struct Devices {
    accounts: Accounts,
    door: Door,
    pub(super) clicks: Clicks,
    all: Arc<Mutex<VecDeque<Running>>>,
    changed: watch::Sender<()>,
    count: Arc<AtomicU64>,
}

/// A device, and the task that asks for it.
struct Running {
    device: Arc<Device>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Devices {
    pub(super) fn new(accounts: Accounts, door: Door) -> Self {
        let (changed, _) = watch::channel(());
        Self {
            accounts,
            door,
            clicks: Clicks::default(),
            all: Arc::default(),
            changed,
            count: Arc::default(),
        }
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Running>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs a person in on a device, and follows it from now on.
    pub(super) async fn sign_in(
        &self,
        person: &'static Person,
        (name, town, address): (String, Town, IpAddr),
        client: Client,
    ) -> Result<Arc<Device>> {
        let tokens = self.accounts.sign_in(person, client, String::new()).await?;
        // Whoever has the key is the person, so it must not be guessed.
        let key = URL_SAFE_NO_PAD.encode(random::<32>());
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let device = Device::new((key, number), person, (name, town.name(), address), tokens);
        let device = Arc::new(device);
        self.add(Arc::clone(&device));
        // Listeners read the list as soon as they wake, so its lock is free by now.
        self.changed.send_replace(());
        Ok(device)
    }

    /// Adds a device to the list, and starts to follow it.
    fn add(&self, device: Arc<Device>) {
        let follower = (self.clone(), Arc::clone(&device));
        let task = tokio::spawn(async move { follower.0.follow(&follower.1).await });
        let running = Running {
            device,
            task: task.abort_handle(),
        };
        let mut all = self.all();
        if all.len() == DEVICES_MAX {
            // Its session goes on at the authority: nobody has signed out.
            all.pop_front();
        }
        all.push_back(running);
    }

    /// The device whose key a browser brings.
    pub(super) fn find(&self, key: &str) -> Option<Arc<Device>> {
        let all = self.all();
        let running = all.iter().find(|running| running.device.key == key)?;
        Some(Arc::clone(&running.device))
    }

    /// The address of the gateway that the devices ask.
    pub(super) fn gateway(&self) -> SocketAddr {
        self.door.address
    }

    /// The devices for the panel, the newest first.
    pub(super) fn views(&self) -> Vec<View> {
        self.all()
            .iter()
            .rev()
            .map(|running| running.device.view())
            .collect()
    }

    /// Wakes when an answer has changed.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Renews a device's tokens if they are used up.
    pub(super) async fn renew(&self, device: &Device) {
        let Some(refresh) = device.due_renewal() else {
            return;
        };
        match self.accounts.renew(device.person.tenant, &refresh).await {
            Ok(tokens) => device.renewed(tokens),
            Err(status) if is_final(status.code()) => device.over(),
            // The authority is away: the next turn asks again.
            Err(_) => {}
        }
    }

    async fn follow(&self, device: &Device) {
        let mut events: Option<Events> = None;
        loop {
            self.renew(device).await;
            let token = device.access_token();
            let answer = self.door.ask(&token, device.address).await;
            match &answer {
                Ok(answer) => device.record(answer, self.clicks.since_last()),
                Err(_) => device.record_silence(),
            }
            self.changed.send_replace(());

            let is_admitted = answer.is_ok_and(|answer| answer.status == 200);
            // Asked again in each turn, because an authority or a gateway that was away has closed
            // the stream.
            if is_admitted && events.is_none() {
                events = self.door.open_events(&token, device.address).await;
            }
            if pause(&mut events).await {
                events = None;
            }
        }
    }
}

/// Waits until the next request is due. Returns whether the event stream has ended.
async fn pause(events: &mut Option<Events>) -> bool {
    let Some(events) = events else {
        sleep(ASK_INTERVAL).await;
        return false;
    };
    // The stream ends in the moment in which the gate drops the session, so the next request
    // measures that moment and not the end of a pause.
    tokio::select! {
        () = events.ended() => true,
        () = sleep(ASK_INTERVAL) => false,
    }
}

/// Whether a refused renewal means that the session is over.
fn is_final(code: tonic::Code) -> bool {
    matches!(
        code,
        tonic::Code::Unauthenticated | tonic::Code::FailedPrecondition
    )
}
