//! The pages in a real browser: one script a subject, each against an authority, a gateway and a console of its own.

use portcullis_tests::{chromium::run_script, process::Dev};

/// Runs a script against `dev` with the demo data.
async fn run(script: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let dev = Dev::start_with_demo_data(&directory.path().join("data")).await;
    run_script(script, &dev, directory.path()).await;
}

#[tokio::test]
async fn the_first_minute_shows_the_gate_drop() {
    run("first-minute.test.js").await;
}

#[tokio::test]
async fn people_see_and_end_their_own_sessions() {
    run("mine.test.js").await;
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
