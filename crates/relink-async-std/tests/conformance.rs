//! The conformance suite for drivers, on async-std, and with compression.

use relink_async_std::AsyncStd;

mod plain {
    use super::AsyncStd;

    pub(crate) fn run<Case: Future<Output = ()>>(case: impl FnOnce(AsyncStd) -> Case) {
        async_std::task::block_on(async { case(AsyncStd::new()).await });
    }

    relink_testing::driver_conformance!(crate::plain::run);
}

mod compressed {
    use super::AsyncStd;

    pub(crate) fn run<Case: Future<Output = ()>>(case: impl FnOnce(AsyncStd) -> Case) {
        relink_testing::conformance::compressed(|| crate::plain::run(case));
    }

    relink_testing::driver_conformance!(crate::compressed::run);
}
