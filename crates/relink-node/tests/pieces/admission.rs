//! Who may connect now, and when the others may.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use proptest::prelude::*;
use relink::policy::Rate;
use relink::{CloseCode, Instant};
use relink_node::{Admission, AdmissionConfig, AdmissionError, AdmissionErrorKind, address_key};

use crate::support::{at, millis, secs};

type Door = Admission<u32, &'static str>;

#[test]
fn w20_one_address_gets_its_burst_and_then_its_rate() {
    let mut door = Door::new(AdmissionConfig::default());
    for _ in 0..20 {
        assert_eq!(door.admit(1, at(0)), Ok(()));
    }
    let refused = door.admit(1, at(0)).unwrap_err();
    assert_eq!((refused.reason, refused.retry_after), (AdmissionErrorKind::Address, millis(500)));
    assert_eq!(door.admit(2, at(0)), Ok(()), "another address has its own");
    assert!(door.admit(1, at(499)).is_err());
    assert_eq!(door.admit(1, at(500)), Ok(()), "as it was told");
    assert!(door.admit(1, at(500)).is_err());
}

#[test]
fn w20_whoever_comes_back_when_told_is_let_in() {
    let mut door = Door::new(AdmissionConfig::default());
    let mut now = at(0);
    let mut refusals = 0;
    for _ in 0..100 {
        while let Err(AdmissionError { retry_after, .. }) = door.admit(1, now) {
            assert!(retry_after > Duration::ZERO);
            now = now + retry_after;
            refusals += 1;
        }
    }
    assert_eq!(
        (now, refusals),
        (at(40_000), 80),
        "20 at once, 80 more at two a second, nobody refused twice"
    );
}

#[test]
fn i29_those_who_are_refused_together_are_not_told_to_come_back_together() {
    let mut door = Door::new(AdmissionConfig::default());
    let told = refusals(&mut door, 1, 100, at(0));
    let ever_later: Vec<_> = (1..=100).map(|turn| millis(500 * turn)).collect();
    assert_eq!(told, ever_later);
    for (turn, wait) in told.iter().enumerate() {
        assert_eq!(door.admit(1, at(0) + *wait), Ok(()), "number {turn} finds its place");
    }
}

#[test]
fn i29_no_crowd_makes_the_wait_longer_than_its_bound() {
    let mut door = Door::new(AdmissionConfig::default());
    let told = refusals(&mut door, 1, 1_200, at(0));
    assert_eq!(told.iter().max(), Some(&secs(60)));
    let mut told_each: BTreeMap<Duration, u32> = BTreeMap::new();
    for wait in told {
        *told_each.entry(wait).or_default() += 1;
    }
    assert_eq!(
        (told_each.len(), told_each.values().max()),
        (120, Some(&10)),
        "evenly, from the front again"
    );
}

#[test]
fn i29_old_promises_hold_up_nobody_who_comes_later() {
    let mut door = Door::new(AdmissionConfig::default());
    refusals(&mut door, 1, 50, at(0));
    for _ in 0..20 {
        assert_eq!(door.admit(1, at(25_000)), Ok(()));
    }
    assert_eq!(door.admit(1, at(25_000)).unwrap_err().retry_after, millis(500));
}

#[test]
fn w20_all_addresses_together_have_a_limit_too() {
    let overall = Rate { burst: 3, refill: millis(100) };
    let mut door = Door::new(AdmissionConfig::default().with_overall(overall));
    for address in 0..3 {
        assert_eq!(door.admit(address, at(0)), Ok(()));
    }
    let told: Vec<_> = (10..15).map(|address| door.admit(address, at(0)).unwrap_err()).collect();
    assert!(told.iter().all(|refused| refused.reason == AdmissionErrorKind::Overall));
    assert!(
        told.iter().map(|refused| refused.retry_after).eq((1..=5).map(|turn| millis(100 * turn)))
    );
    assert_eq!(door.addresses(), 3, "who is refused is not remembered");
}

#[test]
fn w20_what_one_address_is_refused_is_not_taken_from_the_others() {
    let config = AdmissionConfig::default()
        .with_per_address(Rate { burst: 1, refill: secs(60) })
        .with_overall(Rate { burst: 2, refill: secs(60) });
    let mut door = Door::new(config);
    assert_eq!(door.admit(1, at(0)), Ok(()));
    for _ in 0..100 {
        assert_eq!(door.admit(1, at(0)).unwrap_err().reason, AdmissionErrorKind::Address);
    }
    assert_eq!(door.admit(2, at(0)), Ok(()));
}

#[test]
fn w20_no_number_of_addresses_makes_the_table_grow() {
    let config = AdmissionConfig::default()
        .with_max_addresses(100)
        .with_overall(Rate { burst: 1_000, refill: millis(1) });
    let mut door = Door::new(config);
    for address in 0..1_000 {
        assert_eq!(door.admit(address, at(0)), Ok(()));
    }
    assert_eq!((door.addresses(), door.untracked()), (100, 900));
    assert_eq!(
        door.admit(5_000, at(0)).unwrap_err().reason,
        AdmissionErrorKind::Overall,
        "what is left is the limit over all"
    );

    // Half a second later their buckets are full again, and they make room.
    for address in 2_000..2_400 {
        assert_eq!(door.admit(address, at(500)), Ok(()));
        assert!(door.addresses() <= 100);
    }
    assert_eq!(door.untracked(), 900 + 300);
    for _ in 0..19 {
        assert_eq!(door.admit(2_000, at(500)), Ok(()));
    }
    assert_eq!(
        door.admit(2_000, at(500)).unwrap_err().reason,
        AdmissionErrorKind::Address,
        "the busy stay remembered"
    );
}

#[test]
fn m06_a_user_has_so_many_connections_and_the_next_is_told_4010() {
    let mut door = Door::new(AdmissionConfig::default().with_per_user(Some(2)));
    assert_eq!(door.enter("ada", 1, at(0)), Ok(()));
    assert_eq!(door.enter("ada", 2, at(0)), Ok(()));
    assert_eq!(door.enter("ada", 2, at(0)), Ok(()), "the same one twice is one");
    let refused = door.enter("ada", 3, at(0)).unwrap_err();
    assert_eq!((refused.reason, refused.retry_after), (AdmissionErrorKind::User, secs(30)));
    assert_eq!(refused.reason.close_code(), CloseCode::CONCURRENT_CAP);
    assert_eq!(door.enter("bob", 3, at(0)), Ok(()));
    door.leave(&"ada", &3);
    assert_eq!(door.connections_of(&"ada"), 2, "it held no place");
    door.leave(&"ada", &1);
    assert_eq!(door.enter("ada", 3, at(0)), Ok(()));
}

#[test]
fn m06_a_claim_that_is_never_proved_is_released() {
    let mut door = Door::new(AdmissionConfig::default().with_per_user(Some(1)));
    assert_eq!(door.claim("ada", 1, at(0)), Ok(()));
    assert!(door.enter("ada", 2, at(9_999)).is_err(), "the place is held while it may be proved");
    assert_eq!(door.enter("ada", 2, at(10_000)), Ok(()));
    assert!(door.enter("ada", 1, at(10_001)).is_err(), "too late");

    let mut door = Door::new(AdmissionConfig::default().with_per_user(Some(1)));
    assert_eq!(door.claim("ada", 1, at(0)), Ok(()));
    assert_eq!(door.enter("ada", 1, at(9_999)), Ok(()));
    assert_eq!(door.claim("ada", 1, at(9_999)), Ok(()), "what is proved stays so");
    assert!(door.enter("ada", 2, at(1_000_000)).is_err());
    door.leave(&"ada", &1);
    assert_eq!(door.claim("ada", 3, at(1_000_000)), Ok(()));
    door.leave(&"ada", &3);
    assert_eq!(door.connections_of(&"ada"), 0);
}

#[test]
fn without_a_cap_nobody_is_counted() {
    let mut door = Door::new(AdmissionConfig::default());
    assert!((0..1_000).all(|id| door.enter("ada", id, at(0)).is_ok()));
    assert_eq!(door.connections_of(&"ada"), 0);
}

#[test]
fn an_ipv6_address_counts_as_its_network() {
    let key = |text: &str| address_key(text.parse().expect("an address")).to_string();
    assert_eq!(key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    assert_eq!(key("2001:db8:1:2:ffff::1"), "2001:db8:1:2::");
    assert_ne!(key("2001:db8:1:3::1"), key("2001:db8:1:2::1"));
    assert_eq!(key("192.0.2.7"), "192.0.2.7");
    assert_eq!(key("::ffff:192.0.2.7"), "192.0.2.7");
    let _: Admission<IpAddr, u64> = Admission::new(AdmissionConfig::default());
}

#[test]
fn every_refusal_has_a_status_a_code_and_a_sentence() {
    use AdmissionErrorKind::{Address, Overall, User};
    assert_eq!([Address, Overall, User].map(AdmissionErrorKind::http_status), [429, 503, 429]);
    assert_eq!([Address, Overall, User].map(|reason| reason.close_code().0), [1013, 1013, 4010]);
    let mut door = Door::new(AdmissionConfig::default().with_per_user(Some(1)));
    assert_eq!(door.enter("ada", 1, at(0)), Ok(()));
    let refused = door.enter("ada", 2, at(0)).unwrap_err();
    assert_eq!(refused.to_string(), "too many connections of this user; try again in 30s");
}

#[test]
fn i32_senseless_configurations_are_refused_and_survived() {
    let default = AdmissionConfig::default();
    assert_eq!(default.validate(), Ok(()));
    let (nothing, endless) = (
        Rate { burst: 0, refill: Duration::ZERO },
        Rate { burst: u32::MAX, refill: Duration::MAX },
    );
    for wrong in [
        default.with_per_address(nothing),
        default.with_overall(nothing),
        default.with_per_address(endless),
        default.with_overall(endless),
        default.with_per_user(Some(0)),
        default.with_max_addresses(0),
        default.with_longest_wait(Duration::ZERO),
        default.with_cap_retry_after(Duration::MAX),
        default.with_claim_timeout(Duration::MAX),
    ] {
        assert!(wrong.validate().is_err(), "{wrong:?}");
        let mut door = Door::new(wrong);
        for now in [at(5_000), at(0) + Duration::MAX, at(0)] {
            let _ = (door.admit(1, now), door.claim("ada", 1, now), door.enter("ada", 1, now));
        }
    }
}

proptest! {
    /// Beside a model that counts admissions: never more than the burst and the refill allow, and
    /// never a refusal while there is one to give.
    #[test]
    fn w20_admissions_are_exactly_what_the_buckets_hold(
        steps in prop::collection::vec((0_u64..300, 0_u32..4), 1..400),
    ) {
        let (per_address, overall) = (Rate { burst: 3, refill: millis(700) }, Rate { burst: 5, refill: millis(200) });
        let config = AdmissionConfig::default().with_per_address(per_address).with_overall(overall);
        let mut door = Door::new(config);
        let mut buckets = [Drops::full(per_address); 4];
        let mut all = Drops::full(overall);
        let mut now = at(0);
        for (pause, address) in steps {
            now = now + millis(pause);
            let bucket = &mut buckets[address as usize];
            bucket.fill(now);
            all.fill(now);
            let expected = if bucket.left == 0 {
                Err(AdmissionErrorKind::Address)
            } else if all.left == 0 {
                Err(AdmissionErrorKind::Overall)
            } else {
                bucket.left -= 1;
                all.left -= 1;
                Ok(())
            };
            prop_assert_eq!(door.admit(address, now).map_err(|refused| refused.reason), expected);
        }
    }
}

/// A bucket as one would draw it: it drips once per refill from the moment it is no longer full.
#[derive(Clone, Copy)]
struct Drops {
    rate: Rate,
    left: u32,
    last: Instant,
}

impl Drops {
    fn full(rate: Rate) -> Self {
        Self { rate, left: rate.burst, last: at(0) }
    }

    fn fill(&mut self, now: Instant) {
        while self.left < self.rate.burst && now - self.last >= self.rate.refill {
            self.left += 1;
            self.last = self.last + self.rate.refill;
        }
        if self.left == self.rate.burst {
            self.last = now;
        }
    }
}

/// Uses up the burst of an address; returns what so many after that are told.
fn refusals(door: &mut Door, address: u32, refused: usize, now: Instant) -> Vec<Duration> {
    let asked = core::iter::repeat_with(|| door.admit(address, now));
    asked.filter_map(Result::err).map(|refused| refused.retry_after).take(refused).collect()
}
