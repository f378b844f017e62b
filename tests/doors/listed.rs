//! Tests that are no cases of every door, in the list of the same binary.

use libtest_mimic::Trial;
use tokio::runtime::Builder;

/// A test with a runtime of its own.
pub fn test<F: Future<Output = ()>>(
    name: String,
    run: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    Trial::test(name, move || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run());
        Ok(())
    })
}

/// Lists functions as tests of a group. The compiler reports a test that is not listed as dead code.
macro_rules! listed {
    ($group:literal: $($test:path),+ $(,)?) => {
        vec![$(crate::listed::test(
            format!("{}::{}", $group, stringify!($test).replace(' ', "")),
            $test,
        )),+]
    };
}
pub(crate) use listed;
