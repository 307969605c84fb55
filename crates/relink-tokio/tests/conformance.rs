//! The conformance suite for drivers, on tokio.

use relink_tokio::Tokio;

fn run<Case: Future<Output = ()>>(case: impl FnOnce(Tokio) -> Case) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async { case(Tokio::new()).await });
}

relink_testing::driver_conformance!(crate::run);
