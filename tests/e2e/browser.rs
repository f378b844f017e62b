//! The pages in a real browser: one script a subject, each against an authority, a gateway and a console of its own.

mod crowd;
mod faults;

use portcullis_tests::{chromium::run_script, process::Dev};

use self::{crowd::sign_in_crowd, faults::Faults};

/// Runs a script against `dev` with the demo data.
async fn run(script: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let dev = Dev::start_with_demo_data(&directory.path().join("data")).await;
    run_before(script, &dev).await;
}

/// Runs a script against `dev` with the demo data, many more people of the company, and one with hostile names.
async fn run_with_crowd(script: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let dev = Dev::start_with_demo_data(&data).await;
    sign_in_crowd(&dev, &data).await;
    run_before(script, &dev).await;
}

async fn run_before(script: &str, dev: &Dev) {
    let variables = [("STAGE", dev.console.as_str()), ("GATEWAY", &dev.gateway)];
    run_script(script, &variables).await;
}

/// The README's picture is taken by this one.
#[tokio::test]
async fn the_first_minute_shows_the_gate_drop() {
    run("first-minute.test.js").await;
}

#[tokio::test]
async fn people_see_and_end_their_own_sessions() {
    run("mine.test.js").await;
}

#[tokio::test]
async fn an_administrator_finds_people_and_ends_their_sessions() {
    run_with_crowd("team.test.js").await;
}

#[tokio::test]
async fn staff_use_every_button_of_their_rooms() {
    run_with_crowd("staff.test.js").await;
}

#[tokio::test]
async fn what_goes_wrong_is_a_readable_page() {
    run_with_crowd("bad-input.test.js").await;
}

#[tokio::test]
async fn an_authority_or_a_gate_that_is_away_is_told() {
    let faults = Faults::start().await;
    let variables = [("STAGE", faults.console()), ("CONTROL", faults.control())];
    run_script("away.test.js", &variables).await;
    faults.stop().await;
}

#[tokio::test]
async fn every_page_is_for_everybody() {
    run("pages.test.js").await;
}

#[tokio::test]
async fn the_keyboard_is_enough() {
    run("keyboard.test.js").await;
}

#[tokio::test]
async fn every_page_speaks_every_language() {
    run("locales.test.js").await;
}

/// `cargo xtask screenshots` runs this one, which then writes.
#[tokio::test]
async fn pictures_are_those_of_the_documentation() {
    run("pictures.test.js").await;
}
