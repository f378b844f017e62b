//! Writes the corpus that fuzzing begins with, and checks that each of its inputs is taken as it should be.

use std::{fs, io, path::Path};

use portcullis_fuzz::TARGETS;

fn main() -> io::Result<()> {
    for target in TARGETS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        fs::create_dir_all(&directory)?;
        for seed in (target.seeds)() {
            assert_eq!((target.check)(&seed.bytes), seed.accepted, "{}: {}", target.name, seed.name);
            let file = directory.join(&seed.name);
            // ES256 signs the same in another way each time: that is no reason for another file.
            let kept = fs::read(&file).is_ok_and(|kept| {
                kept.len() == seed.bytes.len() && (target.check)(&kept) == seed.accepted && seed.name.contains("ES256")
            });
            if !kept {
                fs::write(file, &seed.bytes)?;
            }
        }
    }
    Ok(())
}
