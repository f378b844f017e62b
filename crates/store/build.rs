//! A migration that is added is compiled in: the macro that embeds them notices only those that it knows.

fn main() {
    println!("cargo::rerun-if-changed=src/postgres/migrations");
    println!("cargo::rerun-if-changed=src/sqlite/migrations");
}
