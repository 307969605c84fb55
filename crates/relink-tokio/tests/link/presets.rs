//! A protocol or a profile, and what the application says besides: in any order, nothing is lost
//! without a word.

use std::time::Duration;

use relink_profiles::deepstream;
use relink_tokio::relink::{Plain, SessionConfig};
use relink_tokio::v1::{self, Encoding};
use relink_tokio::{Builder, Token, TokenPlacement, builder};

fn built(change: impl FnOnce(Builder) -> Builder) -> String {
    let built = change(builder("ws://127.0.0.1:9/")).connect();
    built.err().map(|error| error.to_string()).unwrap_or_default()
}

fn v1(builder: Builder) -> Builder {
    builder.relink_v1(Encoding::Json)
}

#[tokio::test]
async fn a_configuration_and_relink_v1_merge_in_either_order() {
    let plain = SessionConfig::default();
    let bad = plain.with_link(plain.link.with_connect_timeout(Duration::ZERO));
    for error in
        [built(|builder| v1(builder.config(bad))), built(|builder| v1(builder).config(bad))]
    {
        assert!(error.contains("connect_timeout"), "{error}");
    }
    assert_eq!(built(|builder| v1(builder.config(plain))), "");
    assert_eq!(built(|builder| v1(builder).config(plain)), "");

    let heartbeat = plain.link.heartbeat.with_interval(Some(Duration::from_secs(3)));
    let adapted = v1::adapt(plain.with_link(plain.link.with_heartbeat(heartbeat)));
    assert_eq!(
        adapted.link.heartbeat.interval,
        Some(Duration::from_secs(3)),
        "what was said stays"
    );
    assert_eq!(v1::adapt(plain), v1::config());
}

#[tokio::test]
async fn a_protocol_and_a_placement_of_ones_own_stay_in_either_order() {
    let own = |builder: Builder| builder.protocol(Plain::default());
    for error in [built(|builder| v1(own(builder))), built(|builder| own(v1(builder)))] {
        assert!(
            error.contains("outbox.guarantee"),
            "the plain protocol acknowledges nothing: {error}"
        );
    }
    let token = |builder: Builder| {
        let builder = builder.header("authorization", "Basic eDp5");
        builder.token(|| async { Ok::<_, std::io::Error>(Token::from("t")) })
    };
    let bearer = |builder: Builder| builder.token_placement(TokenPlacement::Bearer);
    assert_eq!(built(|builder| v1(token(builder))), "", "its token goes with the first frame");
    for error in
        [built(|builder| v1(bearer(token(builder)))), built(|builder| bearer(v1(token(builder))))]
    {
        assert!(error.contains("authorization"), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_merged_is_an_error() {
    let (plain, profile) = (SessionConfig::default(), &deepstream::PROFILE);
    assert!(
        built(|builder| builder.config(plain).profile(profile))
            .contains("config() before profile()")
    );
    assert_eq!(built(|builder| builder.profile(profile).config((profile.config)())), "");
    assert!(built(|builder| v1(builder.profile(profile))).contains("exclude"));
    assert!(built(|builder| v1(v1(builder))).contains("exclude"));
}
