//! Processes that stand still and go on.

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::eventually;

/// Stops a process, and waits until none of its threads runs: the system stops those on other processors a moment after
/// the signal. Its sockets stay open, and nobody answers.
///
/// # Panics
/// When a thread of it goes on.
pub async fn hang(process: Pid) {
    // It may have ended by itself.
    let _ended = kill_process(process, Signal::STOP);
    let threads = format!("/proc/{}/task", process.as_raw_nonzero());
    eventually("the process to stand still", async || {
        stands_still(&threads).then_some(())
    })
    .await;
}

/// Lets a process go on after [`hang`].
pub fn go_on(process: Pid) {
    // It may have been killed meanwhile.
    let _ended = kill_process(process, Signal::CONT);
}

fn stands_still(threads: &str) -> bool {
    let Ok(threads) = std::fs::read_dir(threads) else {
        return true;
    };
    threads.flatten().all(|thread| {
        // The name before the state is in parentheses. A thread that has ended has no file, or is a zombie.
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, fields)| &fields[..1]);
        matches!(state, None | Some("T" | "Z" | "X"))
    })
}
