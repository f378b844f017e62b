//! Many orders of the steps of a few threads.

use std::env;

use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
};

/// The seed of the first order. A fixed one: a failure is the same on every machine.
const SEED: u64 = 14;
/// The orders that each scheduler tries, unless `PORTCULLIS_INTERLEAVINGS` has another number.
const ORDERS: usize = 200;
/// The preemptions of an order that PCT places. A race of two threads needs two or three.
const PREEMPTIONS: usize = 3;
/// The stack of a thread, in bytes: a signature check needs more than shuttle's default.
const STACK_BYTES: usize = 512 << 10;

/// Runs a scene in many orders. Panics if it panics, or if all of its threads wait for each other.
pub fn every_order(scene: impl Fn() + Clone + Send + Sync + 'static) {
    let orders = match env::var("PORTCULLIS_INTERLEAVINGS") {
        Ok(number) => number.parse().expect("a number of orders"),
        Err(_) => ORDERS,
    };
    // PCT finds what a few preemptions at the right places break, the other one what many of them do.
    run(
        PctScheduler::new_from_seed(SEED, PREEMPTIONS, orders),
        scene.clone(),
    );
    run(RandomScheduler::new_from_seed(SEED, orders), scene);
}

fn run(scheduler: impl Scheduler + 'static, scene: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    // All atomics behave as sequentially consistent: the orders of steps are explored, not those of memory.
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(scene);
}
