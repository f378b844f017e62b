//! `cargo xtask simulate`: many schedules, one after the other. It prints the seed of each one that breaks the promise.

use std::{env, process::ExitCode, time::Instant};

use portcullis_simulation::{
    bug::Bug,
    run::{Outcome, run},
};

/// What to run.
struct Options {
    schedules: u64,
    seed: u64,
    bug: Option<Bug>,
}

fn main() -> ExitCode {
    let options = match read_options() {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    match simulate(&options) {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Reads `--schedules N`, `--seed S` and `--bug NAME`.
fn read_options() -> Result<Options, String> {
    let mut options = Options {
        schedules: 100,
        seed: 1,
        bug: None,
    };
    let mut words = env::args().skip(1);
    while let Some(name) = words.next() {
        let value = words.next().ok_or(format!("{name}: needs a value"))?;
        let number = || {
            let number = value.parse::<u64>();
            number.map_err(|_| format!("{name}: must be a number"))
        };
        match name.as_str() {
            "--schedules" => options.schedules = number()?,
            "--seed" => options.seed = number()?,
            "--bug" => options.bug = Some(Bug::parse(&value).ok_or("--bug: unknown")?),
            _ => return Err(format!("{name}: unknown option")),
        }
    }
    Ok(options)
}

/// Runs the schedules, and returns how many broke the promise.
fn simulate(options: &Options) -> u64 {
    let begun = Instant::now();
    let mut broken = 0;
    let mut total = Totals::default();
    for seed in options.seed..options.seed + options.schedules {
        let outcome = run(seed, options.bug);
        total.add(&outcome);
        if let Some(violation) = outcome.violation {
            broken += 1;
            println!("seed {seed}: {violation}");
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{} schedules in {seconds:.1} s, {broken} with a violation: {} checks admitted, {} refused as revoked, {} could \
         not know; {} faults, {} histories replaced, {} turns",
        options.schedules,
        total.accepted,
        total.refused,
        total.unavailable,
        total.faults,
        total.forks,
        total.turns
    );
    broken
}

#[derive(Default)]
struct Totals {
    accepted: u64,
    refused: u64,
    unavailable: u64,
    faults: u64,
    forks: u64,
    turns: u64,
}

impl Totals {
    fn add(&mut self, outcome: &Outcome) {
        self.accepted += outcome.counts.accepted;
        self.refused += outcome.counts.refused;
        self.unavailable += outcome.counts.unavailable;
        self.faults += outcome.counts.faults;
        self.forks += outcome.counts.forks;
        self.turns += outcome.counts.turns;
    }
}
