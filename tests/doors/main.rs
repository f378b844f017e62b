//! The suite that every door passes: each case against each door, and a table of all of them. After it come the tests of
//! what is particular to one door: [`envoy`] and [`gateways`].
//!
//! `cargo test -p portcullis-tests --test doors` runs all, and a word after `--` filters by `door::case`. Every case is a
//! function over a [`Scene`](scene::Scene). A door that cannot do what a case needs says so in its abilities, and then
//! the table has the reason instead.
//!
//! `cargo test -p portcullis-tests --test doors -- --ignored documentation::` writes the table into its page.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cases;
mod doors;
mod envoy;
mod gateways;
mod kind;
mod listed;
mod scene;
mod table;

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Failed, Trial};
use portcullis_tests::door::Ability;
use tokio::{runtime::Runtime, task::JoinError};

use self::{
    cases::{CASES, Case},
    scene::{Scene, Seat, World},
    table::Table,
};

/// Cases that run at once. Most of them wait: for a door to start, for a token to expire.
const CASES_AT_ONCE: usize = 12;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(CASES_AT_ONCE));
    let runtime = Arc::new(Runtime::new().expect("a runtime"));
    let world = Arc::new(World::default());
    let table = Arc::new(Table::default());

    let mut trials = Vec::new();
    for door in doors::all() {
        table.add_door(door.name());
        let seat = Arc::new(Seat::new(door));
        for case in CASES {
            trials.push(trial(&runtime, &world, &table, &seat, case));
        }
    }
    trials.extend(documentation(&table));
    trials.extend(envoy::tests());
    trials.extend(gateways::tests());
    let lists = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !lists {
        table.print();
    }

    // The processes of doors end with their owners.
    let _context = runtime.enter();
    drop(world);
    conclusion.exit_code()
}

/// The test that holds the page to the table, and the one that writes it, which runs when it is asked for.
fn documentation(table: &Arc<Table>) -> [Trial; 2] {
    let (checked, written) = (Arc::clone(table), Arc::clone(table));
    let check = Trial::test("documentation::has_the_table", move || {
        checked.check_documentation().map_err(Failed::from)
    });
    let write = Trial::test("documentation::write_the_table", move || {
        written.write_documentation().map_err(Failed::from)
    });
    [check, write.with_ignored_flag(true)]
}

/// One case for one door, as a test of its own name.
fn trial(
    runtime: &Arc<Runtime>,
    world: &Arc<World>,
    table: &Arc<Table>,
    seat: &Arc<Seat>,
    case: &'static Case,
) -> Trial {
    let door = seat.door.name();
    let name = format!("{door}::{}", case.name.replace(' ', "_"));
    if let Ability::No(reason) = case.ability(&seat.door.abilities()) {
        table.cannot(door, case.name, reason);
        return Trial::test(name, || Ok(())).with_ignored_flag(true);
    }
    table.will_run(door, case.name);
    let (runtime, table) = (Arc::clone(runtime), Arc::clone(table));
    let (world, seat) = (Arc::clone(world), Arc::clone(seat));
    Trial::test(name, move || {
        let running = runtime.spawn(async move {
            let scene = Scene::set(world, seat, case.name).await;
            (case.run)(scene).await;
        });
        let ended = runtime.block_on(running);
        table.ran(door, case.name, ended.is_ok());
        ended.map_err(|error| Failed::from(message(error)))
    })
}

/// The message of the panic that ended a case.
fn message(error: JoinError) -> String {
    let panic = error.into_panic();
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic
            .downcast::<&str>()
            .map(|message| (*message).to_owned())
            .unwrap_or_default(),
    }
}
