//! Randomness that replays, for the simulation in `tests/simulation`. No program enables the feature.

use std::cell::Cell;

use crate::position::sha256;

thread_local! {
    /// The seed of this thread, and how often it was used. None: the system's generator is used.
    static SEED: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// Makes everything random on this thread follow from a seed. None: it comes from the system again.
pub fn seed_random(seed: Option<u64>) {
    SEED.set(seed.map(|seed| (seed, 0)));
}

/// Returns random bytes of the seed, if there is one.
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    let (seed, used) = SEED.get()?;
    SEED.set(Some((seed, used + 1)));
    let mut bytes = [0; N];
    // A digest has 32 bytes. A longer value takes several blocks, which their index tells apart.
    for (index, chunk) in (0_u64..).zip(bytes.chunks_mut(32)) {
        let block: Vec<u8> = [seed, used, index]
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect();
        chunk.copy_from_slice(&sha256(&block)[..chunk.len()]);
    }
    Some(bytes)
}
