//! Properties of a link under any inputs, in any order and at any time.
//!
//! `PROPTEST_CASES` is the number of cases of those with a whole session; those of a link alone have four times as many.
//! It is 256 by default; `just schedules` sets 20,000.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use rand_pcg::Pcg32;
use relink::link::{Input, ReopenPolicy};
use relink::policy::{CLOSE_CODES, HTTP_STATUSES};
use relink::rand_core::{Rng, SeedableRng};
use relink::{Backoff, ClosedReason, Failure, LinkConfig, SessionConfig, State};
use relink_sim::stimulus::{Delay, Kind, Stimulus};
use relink_sim::trial::DifferentialTest;
use relink_sim::{Direct, Sim, fuzz, secs, strategy};

/// Cases that failed once are kept here, and tried first.
const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/regressions/properties.txt");

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4 * ProptestConfig::default().cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn i32_whatever_happens_the_contract_holds(
        config in strategy::link_config(),
        schedule in strategy::schedule(40),
        seed: u64,
    ) {
        let mut trial = DifferentialTest::new(config, seed).expect("the strategy gives valid configurations");
        run(&mut trial, &schedule)?;
    }

    #[test]
    fn i05_whatever_happens_a_plain_link_stays_within_its_contract(schedule in strategy::schedule(40)) {
        let mut trial = DifferentialTest::new(LinkConfig::default(), 1).expect("the default is valid");
        trial.hand_in(Input::Connect, trial.now()).map_err(fail)?;
        run(&mut trial, &schedule)?;
    }

    /// Whatever happened before: with a working server, a person who retries gets a link.
    #[test]
    fn i17_a_link_can_always_be_brought_up_again(schedule in strategy::schedule(30), seed: u64) {
        let config = LinkConfig::default().with_reopen(ReopenPolicy::Always);
        let mut trial = DifferentialTest::new(config, seed).expect("valid");
        run(&mut trial, &schedule)?;
        if trial.link().may_connect().is_err() {
            // Its driver is gone.
            return Ok(());
        }
        let helpful = Stimulus { delay: Delay::After(core::time::Duration::ZERO), kind: Kind::Helpful };
        // Messages that wait go out first, and the close behind them.
        for _ in 0..10 {
            if trial.link().state() == State::Connected {
                return Ok(());
            }
            trial.apply(helpful).map_err(fail)?;
        }
        prop_assert_eq!(trial.link().state(), State::Connected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn i06_whatever_the_server_does_two_dials_keep_the_floor_between_them(
        schedule in strategy::server_schedule(60),
        floor in 1..10_u64,
        seed: u64,
    ) {
        let backoff = Backoff::default().with_first(None).with_floor(secs(floor));
        let link = LinkConfig::default()
            .with_backoff(backoff)
            .with_max_redirects(0)
            .with_reopen(ReopenPolicy::Never);
        let config = SessionConfig::default().with_link(link);
        let mut sim = Sim::with(config, &["ws://one", "ws://two"], Direct::default(), seed)
            .expect("valid")
            .manual();
        sim.connect();
        schedule.into_iter().for_each(|stimulus| sim.apply(stimulus));
        let dials = sim.dials();
        prop_assert!(dials.windows(2).all(|two| two[1].at - two[0].at >= secs(floor)), "{dials:?}");
        prop_assert!(sim.delays().iter().all(|delay| *delay >= secs(floor)));
    }

    #[test]
    fn i32_whatever_happens_a_session_keeps_the_rules_of_every_scenario(
        config in strategy::link_config(),
        schedule in strategy::schedule(40),
        seed: u64,
    ) {
        let config = SessionConfig::default().with_link(config);
        let mut sim = Sim::with(config, &["ws://one", "ws://two"], Direct::default(), seed)
            .expect("the strategy gives valid configurations")
            .manual();
        schedule.into_iter().for_each(|stimulus| sim.apply(stimulus));
    }
}

/// The properties above prove something only if their schedules reach every state.
#[test]
fn the_schedules_reach_every_state_and_every_deadline() {
    let mut runner = TestRunner::deterministic();
    let cases = (strategy::link_config(), strategy::schedule(40));
    let mut reached = BTreeSet::new();
    for seed in 0..1_000 {
        let (config, schedule) = cases.new_tree(&mut runner).expect("a case").current();
        let mut trial = DifferentialTest::new(config, seed).expect("valid");
        for stimulus in schedule {
            trial.apply(stimulus).expect("the contract holds");
            reached.insert(state_name(trial.link().state()));
            reached.extend(trial.link().next_timer().map(|timer| format!("{timer:?}")));
        }
    }
    let expected = [
        "Idle",
        "Connected",
        "Closing",
        "requested",
        "stopped",
        "attempts_exhausted",
        "time_exhausted",
        "circuit_open",
        "token_refused",
        "first_attempt_failed",
        "driver_gone",
        "Connecting(Waiting)",
        "Connecting(Authorizing)",
        "Connecting(Dialing)",
        "Connecting(Handshaking(Welcome))",
        "Connecting(Handshaking(Challenge))",
        "Connecting(Handshaking(Login))",
        "Connecting(Handshaking(Authenticating))",
        "Reconnecting(Waiting)",
        "Reconnecting(Authorizing)",
        "Reconnecting(Dialing)",
        "Reconnecting(Handshaking(Welcome))",
        "Reconnecting(Handshaking(Challenge))",
        "Reconnecting(Handshaking(Authenticating))",
        "Backoff",
        "Token",
        "Address",
        "Dial",
        "Step(Welcome)",
        "Step(Challenge)",
        "Step(Login)",
        "Step(Authenticating)",
        "Ping",
        "Pong",
        "Watchdog",
        "Stable",
        "Refresh",
        "Flush",
        "Close",
        "Elapsed",
        "Grace",
        "Banner",
        "Stuck",
    ];
    let missed: Vec<_> = expected.iter().filter(|name| !reached.contains(**name)).collect();
    assert!(missed.is_empty(), "never reached: {missed:?}");
    assert_eq!(reached.len(), expected.len(), "{reached:?}");
}

/// Fails if a variant is added to the core that the strategies do not draw.
#[test]
fn every_failure_and_every_row_of_the_tables_is_drawn() {
    let mut runner = TestRunner::deterministic();
    let failures: Vec<Failure> =
        (0..20_000).map(|_| draw(&strategy::failure(), &mut runner)).collect();
    all_variants("Failure", include_str!("../../relink/src/link/failure.rs"), &failures);
    let statuses: BTreeSet<u16> = failures
        .iter()
        .filter_map(
            |failure| if let Failure::Http { status, .. } = failure { Some(*status) } else { None },
        )
        .collect();
    let codes: BTreeSet<u16> =
        (0..5_000).map(|_| draw(&strategy::close_code(), &mut runner).0).collect();
    for rule in &HTTP_STATUSES {
        assert!(statuses.contains(&rule.from) && statuses.contains(&rule.to), "{rule:?}");
    }
    for rule in &CLOSE_CODES {
        assert!(codes.contains(&rule.from) && codes.contains(&rule.to), "{rule:?}");
    }
}

#[test]
fn every_input_and_every_failure_is_drawn_by_strategy_and_fuzzer() {
    let mut runner = TestRunner::deterministic();
    let strategy = strategy::schedule(40);
    let by_strategy: Vec<Input> = (0..500)
        .flat_map(|_| draw(&strategy, &mut runner))
        .filter_map(|stimulus| input(&stimulus))
        .collect();
    let by_fuzzer: Vec<Input> = (0..500)
        .flat_map(|seed| {
            let mut data = vec![0; 1_000];
            Pcg32::seed_from_u64(seed).fill_bytes(&mut data);
            fuzz::schedule(&data).2
        })
        .filter_map(|stimulus| input(&stimulus))
        .collect();
    for inputs in [by_strategy, by_fuzzer] {
        all_variants("Input", include_str!("../../relink/src/link/input.rs"), &inputs);
        let failures: Vec<Failure> = inputs
            .iter()
            .filter_map(|input| {
                if let Input::Failed { failure, .. } = input { Some(*failure) } else { None }
            })
            .collect();
        all_variants("Failure", include_str!("../../relink/src/link/failure.rs"), &failures);
    }
}

fn draw<S: Strategy>(strategy: &S, runner: &mut TestRunner) -> S::Value {
    strategy.new_tree(runner).expect("a case").current()
}

fn input(stimulus: &Stimulus) -> Option<Input> {
    if let Kind::Input(input, _) = stimulus.kind { Some(input) } else { None }
}

/// Checks that each variant of an enum is among the values, as its source lists them.
fn all_variants<T: std::fmt::Debug>(name: &str, source: &str, values: &[T]) {
    let word =
        |text: &str| -> String { text.chars().take_while(char::is_ascii_alphanumeric).collect() };
    let seen: BTreeSet<String> = values.iter().map(|value| word(&format!("{value:?}"))).collect();
    let (_, body) = source.split_once(&format!("pub enum {name} {{\n")).expect("the enum");
    let (body, _) = body.split_once("\n}\n").expect("its end");
    for variant in body.lines().filter_map(|line| line.strip_prefix("    ")) {
        if variant.starts_with(char::is_uppercase) {
            assert!(seen.contains(&word(variant)), "{name}::{variant} is never drawn");
        }
    }
}

fn state_name(state: State) -> String {
    match state {
        State::Closed(ClosedReason::Stopped { .. }) => "stopped".into(),
        State::Closed(reason) => reason.name().into(),
        State::Idle
        | State::Connecting(_)
        | State::Connected
        | State::Reconnecting(_)
        | State::Closing => {
            format!("{state:?}")
        }
    }
}

fn run(trial: &mut DifferentialTest, schedule: &[Stimulus]) -> Result<(), TestCaseError> {
    schedule.iter().try_for_each(|stimulus| trial.apply(*stimulus)).map_err(fail)
}

fn fail(broken: relink_sim::model::Violation) -> TestCaseError {
    TestCaseError::fail(broken.to_string())
}
