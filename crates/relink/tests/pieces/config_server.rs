//! The same for the configuration of a server's machines.

use core::time::Duration;

use relink::ConfigError;
use relink::policy::Rate;
use relink_node::{
    AdmissionConfig, DrainConfig, HistoryConfig, LivenessConfig, NodeConfig, PresenceConfig,
};

use crate::config::{TOO_LONG, ZERO, documented};
use crate::support::{millis, secs};

#[test]
fn the_documented_defaults_of_a_server_are_the_defaults() {
    let liveness = LivenessConfig::default();
    documented(
        "../../relink-node/src/liveness.rs",
        "LivenessConfig",
        &[
            ("`silence`", "30 s", liveness.silence == secs(30)),
            ("`check_every`", "10 s", liveness.check_every == secs(10)),
            ("`message_timeout`", "off", liveness.message_timeout.is_none()),
        ],
    );
    let grace = PresenceConfig::default().grace;
    documented(
        "../../relink-node/src/presence.rs",
        "PresenceConfig",
        &[("`grace`", "30 s", grace == secs(30))],
    );
    let drain = DrainConfig::default();
    documented(
        "../../relink-node/src/drain.rs",
        "DrainConfig",
        &[
            ("`capacity_per_second`", "200", drain.capacity_per_second == 200),
            ("`base`", "1 s", drain.base == secs(1)),
            ("`linger`", "0", drain.linger == ZERO),
            ("`max`", "5 min", drain.max == secs(300)),
            ("`spread_pct`", "20", drain.spread_pct == 20),
        ],
    );
    let admission = AdmissionConfig::default();
    let rates = (admission.rate, admission.rate_per_address);
    documented(
        "../../relink-node/src/admission/mod.rs",
        "AdmissionConfig",
        &[
            ("`max_connections`", "50,000", admission.max_connections == 50_000),
            ("`max_per_address`", "1,000", admission.max_per_address == 1_000),
            ("`retry_after`", "10 s", admission.retry_after == secs(10)),
            ("`rate`", "off", rates.0.is_none()),
            ("`rate_per_address`", "off", rates.1.is_none()),
            ("`max_addresses`", "10,000", admission.max_addresses == 10_000),
            ("`longest_wait`", "60 s", admission.longest_wait == secs(60)),
        ],
    );
    let history = HistoryConfig::default();
    documented(
        "../../relink-node/src/history.rs",
        "HistoryConfig",
        &[
            ("`max_messages`", "1,000", history.max_messages == 1_000),
            ("`max_bytes`", "4 MiB", history.max_bytes == 4 << 20),
            ("`max_age`", "5 min", history.max_age == secs(300)),
            ("`session_ttl`", "2 min", history.session_ttl == secs(120)),
            ("`max_total_bytes`", "256 MiB", history.max_total_bytes == 256 << 20),
            ("`user_bytes`", "64 MiB", history.user_bytes == 64 << 20),
            ("`max_sessions`", "100,000", history.max_sessions == 100_000),
            ("`user_sessions`", "50,000", history.user_sessions == 50_000),
            ("`max_members`", "1,000", history.max_members == 1_000),
            ("`max_words`", "1 MiB", history.max_words == 1 << 20),
        ],
    );
}

#[test]
fn the_documented_defaults_of_a_node_are_the_defaults() {
    let node = NodeConfig::default();
    let parts = node.liveness == LivenessConfig::default()
        && node.presence == PresenceConfig::default()
        && node.history == HistoryConfig::default()
        && node.drain == DrainConfig::default();
    documented(
        "../../relink-node/src/node/config.rs",
        "NodeConfig",
        &[
            ("`liveness`, `presence`, `history`, `drain`", "their own", parts),
            ("`hello_timeout`", "10 s", node.hello_timeout == secs(10)),
            ("`token_grace`", "10 s", node.token_grace == secs(10)),
            ("`max_subscriptions`", "1,000", node.max_subscriptions == 1_000),
            ("`max_subscription_bytes`", "2 MiB", node.max_subscription_bytes == 2 << 20),
            ("`max_unhandled`", "256", node.max_unhandled == 256),
            ("`max_unhandled_bytes`", "1 MiB", node.max_unhandled_bytes == 1 << 20),
            ("`max_outbound_bytes`", "1 MiB", node.max_outbound_bytes == 1 << 20),
            ("`max_message`", "1 MiB", node.max_message == 1 << 20),
            ("`max_publication`", "8 MiB", node.max_publication == 8 << 20),
            ("`page`", "256", node.page == 256),
            ("`per_user`", "unlimited", node.per_user.is_none()),
            ("`drain_timeout`", "5 s", node.drain_timeout == secs(5)),
        ],
    );
}

#[test]
fn the_edges_of_what_a_server_allows_are_allowed() {
    let year = secs(365 * 24 * 3600);
    assert_eq!(
        LivenessConfig::default().with_silence(millis(1)).with_check_every(year).validate(),
        Ok(())
    );
    assert_eq!(PresenceConfig::default().with_grace(ZERO).validate(), Ok(()));
    let tight = DrainConfig::default().with_base(secs(10)).with_max(secs(12));
    assert_eq!(tight.validate(), Ok(()), "room for the base and its spread, and no more");
    let fast = Rate { burst: 1_000_000, refill: Duration::from_micros(1) };
    let admission =
        AdmissionConfig::default().with_rate_per_address(Some(fast)).with_rate(Some(fast));
    assert_eq!(admission.with_max_connections(1).with_max_addresses(1).validate(), Ok(()));
}

#[cfg(feature = "serde")]
#[test]
fn a_server_s_configuration_survives_toml() {
    let admission = AdmissionConfig::direct().with_max_connections(3);
    let text = toml::to_string(&admission).unwrap();
    assert_eq!(toml::from_str::<AdmissionConfig>(&text).unwrap(), admission, "through\n{text}");
    let admission: AdmissionConfig =
        toml::from_str("max_connections = 50000\nlongest_wait = \"2m\"").unwrap();
    assert_eq!(admission, AdmissionConfig::default().with_longest_wait(secs(120)));
    let text = "silence = \"15s\"\nmessage_timeout = \"1m\"";
    let liveness: LivenessConfig = toml::from_str(text).unwrap();
    let same =
        LivenessConfig::default().with_silence(secs(15)).with_message_timeout(Some(secs(60)));
    assert_eq!(liveness, same);
    let presence: PresenceConfig = toml::from_str("grace = \"0s\"").unwrap();
    assert_eq!(presence, PresenceConfig::default().with_grace(ZERO));
    let drain: DrainConfig = toml::from_str("max = \"1m\"").unwrap();
    assert_eq!(drain, DrainConfig::default().with_max(secs(60)));
}

/// One mistake for each end of each check.
pub(crate) fn mistakes() -> Vec<(ConfigError, &'static str)> {
    let mut all = Vec::new();
    let mut wrong = |checked: Result<(), ConfigError>, message| {
        all.push((checked.expect_err(message), message));
    };
    let liveness = LivenessConfig::default();
    wrong(
        liveness.with_silence(ZERO).validate(),
        "liveness.silence is 0s, but it must be at least 1ms",
    );
    let check = liveness.with_check_every(ZERO);
    wrong(check.validate(), "liveness.check_every is 0s, but it must be at least 1ms");
    let slow = liveness.with_message_timeout(Some(ZERO));
    wrong(slow.validate(), "liveness.message_timeout is 0s, but it must be at least 1ms");
    let grace = PresenceConfig::default().with_grace(TOO_LONG);
    wrong(grace.validate(), "presence.grace is 366d, but it must be at most 365d");

    let drain = DrainConfig::default();
    let nothing = drain.with_capacity_per_second(0);
    wrong(nothing.validate(), "drain.capacity_per_second is 0, but it must be at least 1");
    wrong(drain.with_base(ZERO).validate(), "drain.base is 0s, but it must be at least 1ms");
    wrong(
        drain.with_linger(TOO_LONG).validate(),
        "drain.linger is 366d, but it must be at most 365d",
    );
    wrong(drain.with_max(secs(1)).validate(), "drain.max is 1s, but it must be at least 1s200ms");
    wrong(drain.with_max(TOO_LONG).validate(), "drain.max is 366d, but it must be at most 365d");
    let spread = drain.with_spread_pct(1_001);
    wrong(spread.validate(), "drain.spread_pct is 1001, but it must be at most 1000");

    let admission = AdmissionConfig::default();
    let mut wrong = |config: AdmissionConfig, message| wrong(config.validate(), message);
    let rate = |burst, refill| Rate { burst, refill };
    wrong(
        admission.with_rate_per_address(Some(rate(0, secs(1)))),
        "admission.rate_per_address.burst is 0, but it must be at least 1",
    );
    wrong(
        admission.with_rate_per_address(Some(rate(1, ZERO))),
        "admission.rate_per_address.refill is 0s, but it must be at least 1us",
    );
    wrong(
        admission.with_rate(Some(rate(1_000_001, secs(1)))),
        "admission.rate.burst is 1000001, but it must be at most 1000000",
    );
    wrong(
        admission.with_rate(Some(rate(1, TOO_LONG))),
        "admission.rate.refill is 366d, but it must be at most 365d",
    );
    wrong(
        admission.with_max_connections(0),
        "admission.max_connections is 0, but it must be at least 1",
    );
    wrong(
        admission.with_max_per_address(0),
        "admission.max_per_address is 0, but it must be at least 1",
    );
    wrong(
        admission.with_max_addresses(0),
        "admission.max_addresses is 0, but it must be at least 1",
    );
    wrong(
        admission.with_retry_after(ZERO),
        "admission.retry_after is 0s, but it must be at least 1ms",
    );
    wrong(
        admission.with_longest_wait(ZERO),
        "admission.longest_wait is 0s, but it must be at least 1ms",
    );

    let history = HistoryConfig::default();
    let mut wrong = |config: HistoryConfig, message| {
        all.push((config.validate().expect_err(message), message));
    };
    wrong(history.with_max_messages(0), "history.max_messages is 0, but it must be at least 1");
    wrong(history.with_max_bytes(0), "history.max_bytes is 0, but it must be at least 1");
    wrong(history.with_max_age(ZERO), "history.max_age is 0s, but it must be at least 1ms");
    wrong(
        history.with_session_ttl(TOO_LONG),
        "history.session_ttl is 366d, but it must be at most 365d",
    );
    all.extend(mistakes_of_a_node());
    all
}

fn mistakes_of_a_node() -> Vec<(ConfigError, &'static str)> {
    let node = NodeConfig::default();
    let mut all = Vec::new();
    let mut wrong = |config: NodeConfig, message| {
        all.push((config.validate().expect_err(message), message));
    };
    wrong(node.with_hello_timeout(ZERO), "node.hello_timeout is 0s, but it must be at least 1ms");
    wrong(node.with_max_subscriptions(0), "node.max_subscriptions is 0, but it must be at least 1");
    wrong(
        node.with_max_subscription_bytes(0),
        "node.max_subscription_bytes is 0, but it must be at least 1",
    );
    wrong(node.with_max_unhandled(0), "node.max_unhandled is 0, but it must be at least 1");
    wrong(
        node.with_max_unhandled_bytes(0),
        "node.max_unhandled_bytes is 0, but it must be at least 1",
    );
    wrong(
        node.with_max_outbound_bytes(0),
        "node.max_outbound_bytes is 0, but it must be at least 1",
    );
    wrong(node.with_max_message(511), "node.max_message is 511, but it must be at least 512");
    wrong(node.with_max_publication(0), "node.max_publication is 0, but it must be at least 512");
    wrong(node.with_token_grace(TOO_LONG), "node.token_grace is 366d, but it must be at most 365d");
    wrong(node.with_page(0), "node.page is 0, but it must be at least 1");
    wrong(node.with_per_user(Some(0)), "node.per_user is 0, but it must be at least 1");
    wrong(
        node.with_drain_timeout(TOO_LONG),
        "node.drain_timeout is 366d, but it must be at most 365d",
    );
    all
}
