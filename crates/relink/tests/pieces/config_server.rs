//! The same for the configuration of a server.

use core::time::Duration;

use relink::ConfigError;
use relink::policy::Rate;
use relink_node::{AdmissionConfig, DrainConfig, LivenessConfig, NodeConfig};

use crate::config::{TOO_LONG, ZERO};
use crate::support::{millis, secs};

#[test]
fn the_edges_of_what_a_server_allows_are_allowed() {
    let year = secs(365 * 24 * 3600);
    assert_eq!(
        LivenessConfig::default().with_silence(millis(1)).with_check_every(year).validate(),
        Ok(())
    );
    assert_eq!(NodeConfig::default().with_member_grace(ZERO).validate(), Ok(()));
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
    let node: NodeConfig = toml::from_str("member_grace = \"0s\"").unwrap();
    assert_eq!(node, NodeConfig::default().with_member_grace(ZERO));
    let drain: DrainConfig = toml::from_str("max = \"1m\"").unwrap();
    assert_eq!(drain, DrainConfig::default().with_max(secs(60)));
}

/// One mistake for each end of each check.
pub(crate) fn mistakes() -> Vec<(ConfigError, &'static str)> {
    let mut all = Vec::new();
    let mut wrong = |checked: Result<(), ConfigError>, message| {
        all.push((checked.expect_err(message), message));
    };
    let drain = DrainConfig::default();
    wrong(drain.with_max(secs(1)).validate(), "drain.max is 1s, but it must be at least 1s200ms");

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
    all
}
