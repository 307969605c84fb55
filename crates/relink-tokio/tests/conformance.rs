//! The conformance suite for drivers, on tokio: on both of its schedulers, and with
//! compression.

use relink_tokio::Tokio;
use tokio::runtime::{Builder, Runtime};

fn run<Case: Future<Output = ()>>(
    runtime: std::io::Result<Runtime>,
    case: impl FnOnce(Tokio) -> Case,
) {
    runtime.expect("a runtime").block_on(async { case(Tokio::new()).await });
}

mod multi_thread {
    pub(crate) fn run<Case: Future<Output = ()>>(case: impl FnOnce(super::Tokio) -> Case) {
        super::run(super::Builder::new_multi_thread().worker_threads(2).enable_all().build(), case);
    }

    relink_testing::driver_conformance!(crate::multi_thread::run);
}

mod compressed {
    pub(crate) fn run<Case: Future<Output = ()>>(case: impl FnOnce(super::Tokio) -> Case) {
        let runtime = super::Builder::new_current_thread().enable_all().build();
        relink_testing::conformance::compressed(|| super::run(runtime, case));
    }

    relink_testing::driver_conformance!(crate::compressed::run);
}

mod current_thread {
    pub(crate) fn run<Case: Future<Output = ()>>(case: impl FnOnce(super::Tokio) -> Case) {
        super::run(super::Builder::new_current_thread().enable_all().build(), case);
    }

    relink_testing::driver_conformance!(crate::current_thread::run);
}
