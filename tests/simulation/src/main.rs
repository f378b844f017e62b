//! `cargo xtask simulate`: many schedules, on all cores. It prints the seed of each one that breaks the promise.

use std::{
    env,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use portcullis_simulation::{
    bug::Bug,
    run::{Outcome, run},
};

/// What to run.
struct Options {
    schedules: u64,
    seed: u64,
    threads: u64,
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

/// Reads `--schedules N`, `--seed S`, `--threads T` and `--bug NAME`.
fn read_options() -> Result<Options, String> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut options = Options {
        schedules: 100,
        seed: 1,
        threads: cores as u64,
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
            "--threads" => options.threads = number()?.max(1),
            "--bug" => options.bug = Some(Bug::parse(&value).ok_or("--bug: unknown")?),
            _ => return Err(format!("{name}: unknown option")),
        }
    }
    Ok(options)
}

/// Runs the schedules, and returns how many broke the promise.
fn simulate(options: &Options) -> u64 {
    let begun = Instant::now();
    let next = AtomicU64::new(options.seed);
    let total = thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..options.threads {
            threads.push(scope.spawn(|| simulate_some(options, &next)));
        }
        let mut total = Totals::default();
        for thread in threads {
            total.add(&thread.join().expect("no schedule panics"));
        }
        total
    });
    println!(
        "{} schedules from seed {} in {:.1} s: {total}",
        options.schedules,
        options.seed,
        begun.elapsed().as_secs_f64()
    );
    total.broken
}

/// Takes one seed after the other, until all were taken.
fn simulate_some(options: &Options, next: &AtomicU64) -> Totals {
    let mut total = Totals::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= options.seed + options.schedules {
            return total;
        }
        let outcome = run(seed, options.bug);
        total.record(&outcome);
        if let Some(violation) = outcome.violation {
            if options.schedules == 1 {
                println!("{}", outcome.story.join("\n"));
            }
            println!("seed {seed}: {violation}");
        }
    }
}

/// What happened in all schedules.
#[derive(Default)]
struct Totals {
    broken: u64,
    accepted: u64,
    refused: u64,
    unavailable: u64,
    faults: u64,
    forks: u64,
    turns: u64,
    set_back: u64,
}

impl Totals {
    fn record(&mut self, outcome: &Outcome) {
        self.broken += u64::from(outcome.violation.is_some());
        self.accepted += outcome.counts.accepted;
        self.refused += outcome.counts.refused;
        self.unavailable += outcome.counts.unavailable;
        self.faults += outcome.counts.faults;
        self.forks += outcome.counts.forks;
        self.turns += outcome.counts.turns;
        self.set_back += outcome.counts.set_back;
    }

    fn add(&mut self, other: &Self) {
        self.broken += other.broken;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.unavailable += other.unavailable;
        self.faults += other.faults;
        self.forks += other.forks;
        self.turns += other.turns;
        self.set_back += other.set_back;
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} with a violation; {} checks admitted, {} refused as revoked, {} could not know; {} faults, {} histories \
             replaced, {} turns, {} clocks set back behind a turn",
            self.broken,
            self.accepted,
            self.refused,
            self.unavailable,
            self.faults,
            self.forks,
            self.turns,
            self.set_back
        )
    }
}
