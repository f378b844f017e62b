//! The fuzz targets over their corpora. To run on they need a nightly compiler and time (`cargo xtask fuzz`); here they
//! are kept from growing stale, and what was once thrown at a decoder is thrown again.

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use std::{fs, path::Path};

// As the targets name them.
pub(crate) use fuzz::{Seed, mode, snapshot, with_mode, world};

#[test]
fn every_target_takes_its_seeds_as_it_should() {
    for target in fuzz::TARGETS {
        let seeds = (target.seeds)();
        assert!(
            seeds.iter().any(|seed| seed.accepted) && seeds.iter().any(|seed| !seed.accepted),
            "{}",
            target.name
        );
        for seed in seeds {
            assert_eq!(
                (target.check)(&seed.bytes),
                seed.accepted,
                "{}: {}",
                target.name,
                seed.name
            );
        }
    }
}

#[test]
fn no_kept_input_makes_a_target_panic() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for target in fuzz::TARGETS {
        let inputs = fs::read_dir(corpora.join(target.name)).expect("a corpus");
        let inputs: Vec<_> = inputs
            .map(|input| fs::read(input.expect("a file").path()).expect("an input"))
            .collect();
        assert!(!inputs.is_empty(), "{}", target.name);
        for input in inputs {
            (target.check)(&input);
        }
    }
}
