//! Builds again when a file is added that is embedded, which no source file names.

fn main() {
    for directory in ["assets", "templates", "words"] {
        println!("cargo:rerun-if-changed={directory}");
    }
}
