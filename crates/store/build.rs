//! A migration that is added is compiled in: the macro that embeds them notices only those that it knows.

fn main() {
    println!("cargo::rerun-if-changed=src/store/postgres/migrations");
    println!("cargo::rerun-if-changed=src/store/sqlite/migrations");
}
