//! Prints the JSON schema of the rules. `cargo xtask gen` writes it to `docs/reference/rules.schema.json`.

#![allow(clippy::print_stdout, reason = "its output is the file")]

fn main() {
    print!("{}", portcullis_gate::rules_schema());
}
