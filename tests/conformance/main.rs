//! What every backend has to do. Each includes these files whole and says what `crate::place` is.

mod activity;
mod api_key_uses;
mod api_keys;
mod appending;
mod auditing;
mod batches;
mod contention;
mod cutoffs;
mod fairness;
mod filtering;
mod gates;
mod healing;
mod installation;
mod keys;
mod listing;
mod losses;
mod opening;
mod previewing;
mod races;
mod recording;
mod recovering;
mod restarting;
mod rotating;
mod sharing;
mod sweeping;
mod text;
mod turning;
mod user_lists;
mod users;
mod verifying;

#[test]
fn every_file_of_the_suite_is_included() {
    let directory =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/suite")).expect("the suite");
    for file in directory {
        let file = file
            .expect("a file")
            .file_name()
            .into_string()
            .expect("an ASCII name");
        let module = file.trim_end_matches(".rs");
        let included = include_str!("mod.rs").contains(&format!("\nmod {module};\n"));
        assert!(module == "mod" || included, "{file} is not in mod.rs");
    }
}
