//! A sign-in or a refresh that meets a sign-out, held at every point of either transaction.

use std::sync::Arc;

use portcullis_authority::{
    domain::{Entry, Outcome, Session},
    store::{RefreshOutcome, Store, sql::Lane},
};
use portcullis_tests::{
    calls::{apply, open, rotate, try_open},
    fault::{Faults, Point},
    given::{disable, enable, sign_in, sign_out},
    place::Place,
    replay::is_alive,
};

use crate::Engine;

/// Two authorities of one place.
struct Race {
    place: Place,
    signer: (Arc<dyn Store>, Faults),
    revoker: (Arc<dyn Store>, Faults),
}

/// Who is held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Signer,
    Revoker,
}

/// What the revoker does.
type Revoking = fn(&str, &str) -> Entry;

const FORCED_SIGN_OUT: Revoking = |tenant, user| sign_out(tenant, &[user]);
const DISABLING: Revoking = disable;

impl Race {
    async fn new(engine: Engine) -> Self {
        let place = engine.place().await;
        let (signer, revoker) = (place.faulty_store().await, place.faulty_store().await);
        Self {
            place,
            signer,
            revoker,
        }
    }

    /// Runs one side up to `point`, the other until it is done or waits for the first, and then both to their end.
    /// None when the transaction has no such point.
    async fn run<T: Send + 'static>(
        &self,
        held: Held,
        point: Point,
        signing: impl Future<Output = T> + Send + 'static,
        revocation: Entry,
    ) -> Option<(T, Outcome)> {
        let store = Arc::clone(&self.revoker.0);
        let revoking = async move { apply(&*store, revocation).await };
        let (signer, revoker) = (&self.signer.1, &self.revoker.1);
        match held {
            Held::Signer => {
                let first = (signer, Lane::Write, point);
                self.place
                    .overlap(first, signing, (revoker, Lane::Append), revoking)
                    .await
            }
            Held::Revoker => {
                let first = (revoker, Lane::Append, point);
                let both = self
                    .place
                    .overlap(first, revoking, (signer, Lane::Write), signing)
                    .await;
                both.map(|(outcome, signed)| (signed, outcome))
            }
        }
    }

    /// Races a sign-in of a fresh user against `revoking` at every point.
    async fn sign_ins(
        &self,
        held: Held,
        known: bool,
        revoking: Revoking,
        check: impl AsyncFn(Signed),
    ) {
        let mut points = 0;
        for (number, point) in Point::all().enumerate() {
            // Unknown users come with an unknown tenant.
            let (tenant, user) = if known {
                ("t".into(), format!("u{number}"))
            } else {
                (format!("t{number}"), "u".into())
            };
            if known {
                open(&*self.signer.0, &sign_in(&tenant, &user)).await;
            }
            let (store, new) = (Arc::clone(&self.signer.0), sign_in(&tenant, &user));
            let signing = async move { try_open(&*store, &new).await };
            let Some((session, outcome)) = self
                .run(held, point, signing, revoking(&tenant, &user))
                .await
            else {
                break;
            };
            points += 1;
            check(Signed {
                point,
                tenant,
                user,
                session,
                outcome,
            })
            .await;
        }
        assert!(points >= 2, "the transaction has points");
    }
}

struct Signed {
    point: Point,
    tenant: String,
    user: String,
    session: Option<Session>,
    outcome: Outcome,
}

async fn a_sign_in_races_a_forced_sign_out(engine: Engine, held: Held, known: bool) {
    let race = Race::new(engine).await;
    let store = &*race.revoker.0;
    let dead = std::cell::Cell::new(0);
    let check = async |Signed {
                           point,
                           tenant,
                           user,
                           session,
                           outcome,
                       }: Signed| {
        let session = session.expect("nobody is disabled");
        let lives = is_alive(store, &session).await;
        assert_eq!(
            lives,
            session.subject.opened >= outcome.revision,
            "held at {point:?}"
        );
        dead.set(dead.get() + u32::from(!lives));
        assert!(
            is_alive(store, &open(store, &sign_in(&tenant, &user)).await).await,
            "a later sign-in lives"
        );
    };
    race.sign_ins(held, known, FORCED_SIGN_OUT, check).await;
    // One writer: a sign-in that finds the sign-out at work begins after it.
    let serial = held == Held::Revoker && race.place.has_one_writer();
    assert_eq!(
        dead.get() == 0,
        serial,
        "in some of the races the sign-in reads the older head"
    );
}

async fn a_held_sign_in_of_a_known_user_dies_of_a_sign_out_that_it_did_not_see(engine: Engine) {
    a_sign_in_races_a_forced_sign_out(engine, Held::Signer, true).await;
}

async fn a_held_sign_in_of_an_unknown_user_dies_of_a_sign_out_that_it_did_not_see(engine: Engine) {
    a_sign_in_races_a_forced_sign_out(engine, Held::Signer, false).await;
}

async fn a_sign_in_of_a_known_user_dies_of_a_held_sign_out_that_it_did_not_see(engine: Engine) {
    a_sign_in_races_a_forced_sign_out(engine, Held::Revoker, true).await;
}

async fn a_sign_in_of_an_unknown_user_dies_of_a_held_sign_out_that_it_did_not_see(engine: Engine) {
    a_sign_in_races_a_forced_sign_out(engine, Held::Revoker, false).await;
}

async fn a_sign_in_races_disabling(engine: Engine, held: Held, known: bool) {
    let race = Race::new(engine).await;
    let store = &*race.revoker.0;
    let check = async |Signed {
                           point,
                           tenant,
                           user,
                           session,
                           ..
                       }: Signed| {
        if let Some(session) = session {
            assert!(
                !is_alive(store, &session).await,
                "alive though disabled, held at {point:?}"
            );
        }
        assert!(
            try_open(store, &sign_in(&tenant, &user)).await.is_none(),
            "a disabled user does not sign in"
        );
        apply(store, enable(&tenant, &user)).await;
        assert!(is_alive(store, &open(store, &sign_in(&tenant, &user)).await).await);
    };
    race.sign_ins(held, known, DISABLING, check).await;
}

async fn no_session_of_a_disabled_user_lives_whenever_its_sign_in_was_held(engine: Engine) {
    a_sign_in_races_disabling(engine, Held::Signer, true).await;
    a_sign_in_races_disabling(engine, Held::Signer, false).await;
}

async fn no_session_of_a_disabled_user_lives_whenever_the_disabling_was_held(engine: Engine) {
    a_sign_in_races_disabling(engine, Held::Revoker, true).await;
    a_sign_in_races_disabling(engine, Held::Revoker, false).await;
}

async fn a_refresh_races(engine: Engine, held: Held, revoking: Revoking) {
    let race = Race::new(engine).await;
    let mut points = 0;
    for (number, point) in Point::all().enumerate() {
        let user = format!("u{number}");
        let session = open(&*race.signer.0, &sign_in("t", &user)).await;
        let (store, refreshed) = (Arc::clone(&race.signer.0), session.clone());
        let refreshing = async move { rotate(&*store, &refreshed, 0).await };
        let Some((rotated, _)) = race
            .run(held, point, refreshing, revoking("t", &user))
            .await
        else {
            break;
        };
        points += 1;
        assert!(
            !is_alive(&*race.revoker.0, &session).await,
            "held at {point:?}"
        );
        let generation = match rotated {
            RefreshOutcome::Won(won, _) => won.generation,
            RefreshOutcome::Lost(lost, _) => lost.generation,
            RefreshOutcome::NotFound => panic!("the session is there"),
        };
        let RefreshOutcome::Lost(lost, _) = rotate(&*race.signer.0, &session, generation).await
        else {
            panic!("an ended session is not refreshed, held at {point:?}");
        };
        assert!(lost.end.is_some());
    }
    assert!(points >= 2, "the transaction has points");
}

async fn a_refreshed_session_dies_whenever_the_refresh_was_held(engine: Engine) {
    a_refresh_races(engine, Held::Signer, FORCED_SIGN_OUT).await;
    a_refresh_races(engine, Held::Signer, DISABLING).await;
}

async fn a_refreshed_session_dies_whenever_the_sign_out_was_held(engine: Engine) {
    a_refresh_races(engine, Held::Revoker, FORCED_SIGN_OUT).await;
    a_refresh_races(engine, Held::Revoker, DISABLING).await;
}

crate::on_every_engine! {
    a_held_sign_in_of_a_known_user_dies_of_a_sign_out_that_it_did_not_see,
    a_held_sign_in_of_an_unknown_user_dies_of_a_sign_out_that_it_did_not_see,
    a_sign_in_of_a_known_user_dies_of_a_held_sign_out_that_it_did_not_see,
    a_sign_in_of_an_unknown_user_dies_of_a_held_sign_out_that_it_did_not_see,
    no_session_of_a_disabled_user_lives_whenever_its_sign_in_was_held,
    no_session_of_a_disabled_user_lives_whenever_the_disabling_was_held,
    a_refreshed_session_dies_whenever_the_refresh_was_held,
    a_refreshed_session_dies_whenever_the_sign_out_was_held,
}
