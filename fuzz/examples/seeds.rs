//! Writes the corpus that fuzzing begins with, and checks that each of its inputs is taken as it should be.

use std::{fs, io, path::Path};

use portcullis_fuzz::TARGETS;

fn main() -> io::Result<()> {
    for target in TARGETS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        fs::create_dir_all(&directory)?;
        for seed in (target.seeds)() {
            assert_eq!((target.check)(&seed.bytes), seed.accepted, "{}: {}", target.name, seed.name);
            fs::write(directory.join(&seed.name), &seed.bytes)?;
        }
    }
    Ok(())
}
