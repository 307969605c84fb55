//! The conformance suite for drivers, on async-std.

use relink_async_std::AsyncStd;

fn run<Case: Future<Output = ()>>(case: impl FnOnce(AsyncStd) -> Case) {
    async_std::task::block_on(async { case(AsyncStd::new()).await });
}

relink_testing::driver_conformance!(crate::run);
