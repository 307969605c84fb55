//! Which connections are admitted now, and when the others may try again.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use proptest::prelude::*;
use relink::Instant;
use relink::policy::Rate;
use relink_node::{Admission, AdmissionConfig, AdmissionError, AdmissionErrorKind, address_key};

use crate::support::{at, millis, secs};

type Door = Admission<u32>;

#[test]
fn w20_one_address_gets_its_burst_and_then_its_rate() {
    let mut door = Door::new(AdmissionConfig::direct());
    for _ in 0..20 {
        assert_eq!(door.admit(Some(1), at(0)), Ok(()));
    }
    let refused = door.admit(Some(1), at(0)).unwrap_err();
    assert_eq!(
        (refused.reason, refused.retry_after),
        (AdmissionErrorKind::AddressRate, millis(500))
    );
    assert_eq!(door.admit(Some(2), at(0)), Ok(()), "another address has its own");
    assert!(door.admit(Some(1), at(499)).is_err());
    assert_eq!(door.admit(Some(1), at(500)), Ok(()), "as it was told");
    assert!(door.admit(Some(1), at(500)).is_err());
}

#[test]
fn w20_whoever_comes_back_when_told_is_let_in() {
    let mut door = Door::new(AdmissionConfig::direct());
    let mut now = at(0);
    let mut refusals = 0;
    for _ in 0..100 {
        while let Err(AdmissionError { retry_after, .. }) = door.admit(Some(1), now) {
            assert!(retry_after > Duration::ZERO);
            now = now + retry_after;
            refusals += 1;
        }
    }
    assert_eq!(
        (now, refusals),
        (at(40_000), 80),
        "20 at once, 80 more at two a second, none refused twice"
    );
}

#[test]
fn i29_those_who_are_refused_together_are_not_told_to_come_back_together() {
    let mut door = Door::new(AdmissionConfig::direct());
    let told = refusals(&mut door, 1, 100, at(0));
    let ever_later: Vec<_> = (1..=100).map(|turn| millis(500 * turn)).collect();
    assert_eq!(told, ever_later);
    for (turn, wait) in told.iter().enumerate() {
        assert_eq!(door.admit(Some(1), at(0) + *wait), Ok(()), "number {turn} finds its place");
    }
}

#[test]
fn i29_no_crowd_makes_the_wait_longer_than_its_bound() {
    let mut door = Door::new(AdmissionConfig::direct());
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
    let mut door = Door::new(AdmissionConfig::direct());
    refusals(&mut door, 1, 50, at(0));
    for _ in 0..20 {
        assert_eq!(door.admit(Some(1), at(25_000)), Ok(()));
    }
    assert_eq!(door.admit(Some(1), at(25_000)).unwrap_err().retry_after, millis(500));
}

#[test]
fn w20_all_addresses_together_have_a_limit_too() {
    let overall = Rate { burst: 3, refill: millis(100) };
    let mut door = Door::new(AdmissionConfig::direct().with_rate(Some(overall)));
    for address in 0..3 {
        assert_eq!(door.admit(Some(address), at(0)), Ok(()));
    }
    let told: Vec<_> =
        (10..15).map(|address| door.admit(Some(address), at(0)).unwrap_err()).collect();
    assert!(told.iter().all(|refused| refused.reason == AdmissionErrorKind::Rate));
    assert!(
        told.iter().map(|refused| refused.retry_after).eq((1..=5).map(|turn| millis(100 * turn)))
    );
    assert_eq!(door.addresses(), 3, "who is refused is not remembered");
}

#[test]
fn w20_what_one_address_is_refused_is_not_taken_from_the_others() {
    let config = AdmissionConfig::direct()
        .with_rate_per_address(Some(Rate { burst: 1, refill: secs(60) }))
        .with_rate(Some(Rate { burst: 2, refill: secs(60) }));
    let mut door = Door::new(config);
    assert_eq!(door.admit(Some(1), at(0)), Ok(()));
    for _ in 0..100 {
        assert_eq!(door.admit(Some(1), at(0)).unwrap_err().reason, AdmissionErrorKind::AddressRate);
    }
    assert_eq!(door.admit(Some(2), at(0)), Ok(()));
}

#[test]
fn w20_no_number_of_addresses_makes_the_table_grow() {
    let config = AdmissionConfig::direct()
        .with_max_addresses(100)
        .with_rate(Some(Rate { burst: 1_000, refill: millis(1) }));
    let mut door = Door::new(config);
    for address in 0..1_000 {
        assert_eq!(door.admit(Some(address), at(0)), Ok(()));
    }
    assert_eq!((door.addresses(), door.untracked()), (100, 900));
    assert_eq!(
        door.admit(Some(5_000), at(0)).unwrap_err().reason,
        AdmissionErrorKind::Rate,
        "what is left is the limit over all"
    );

    // Half a second later their buckets are full again, and they make room.
    for address in 2_000..2_400 {
        assert_eq!(door.admit(Some(address), at(500)), Ok(()));
        assert!(door.addresses() <= 100);
    }
    assert_eq!(door.untracked(), 900 + 300);
    for _ in 0..19 {
        assert_eq!(door.admit(Some(2_000), at(500)), Ok(()));
    }
    assert_eq!(
        door.admit(Some(2_000), at(500)).unwrap_err().reason,
        AdmissionErrorKind::AddressRate,
        "the busy stay remembered"
    );
}

#[test]
fn w17_connections_are_counted_until_they_leave_in_all_and_for_each_address() {
    let config = AdmissionConfig::default().with_max_connections(3).with_max_per_address(2);
    let mut door = Door::new(config);
    let reason = |refused: Result<(), AdmissionError>| refused.unwrap_err().reason;
    assert_eq!(door.admit(Some(1), at(0)), Ok(()));
    assert_eq!(door.admit(Some(1), at(0)), Ok(()));
    assert_eq!(reason(door.admit(Some(1), at(0))), AdmissionErrorKind::AddressFull);
    assert_eq!(door.admit(None, at(0)), Ok(()), "one whose address is not known counts");
    assert_eq!(reason(door.admit(Some(2), at(0))), AdmissionErrorKind::Full);
    assert_eq!((door.connections(), door.refused()), (3, 2));
    door.leave(Some(1));
    assert_eq!(door.admit(Some(1), at(0)), Ok(()));
    door.leave(None);
    assert_eq!(reason(door.admit(Some(1), at(0))), AdmissionErrorKind::AddressFull);
    assert_eq!(door.admit(Some(2), at(0)), Ok(()));
    assert_eq!((door.connections(), door.refused()), (3, 3));
}

#[test]
fn i29_those_for_whom_there_is_no_room_come_back_one_by_one() {
    let mut door = Door::new(AdmissionConfig::default().with_max_connections(1));
    assert_eq!(door.admit(None, at(0)), Ok(()));
    let refused = (0..100).map(|_| door.admit(None, at(0)).unwrap_err().retry_after);
    let mut told: Vec<Duration> = refused.collect();
    told.sort_unstable();
    assert!(told[0] >= secs(10) && told[99] < secs(20), "{told:?}");
    let widest = told.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(widest < Some(millis(300)), "evenly: {widest:?}");
}

#[test]
fn without_a_rate_no_address_is_remembered_and_nobody_is_too_fast() {
    let mut door = Door::new(AdmissionConfig::default());
    assert!((0..1_000).all(|_| door.admit(Some(1), at(0)).is_ok()));
    assert_eq!(door.addresses(), 0);
}

#[test]
fn an_ipv6_address_counts_as_its_network() {
    let key = |text: &str| address_key(text.parse().expect("an address")).to_string();
    assert_eq!(key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    assert_eq!(key("2001:db8:1:2:ffff::1"), "2001:db8:1:2::");
    assert_ne!(key("2001:db8:1:3::1"), key("2001:db8:1:2::1"));
    assert_eq!(key("192.0.2.7"), "192.0.2.7");
    assert_eq!(key("::ffff:192.0.2.7"), "192.0.2.7");
    let _: Admission<IpAddr> = Admission::new(AdmissionConfig::default());
}

#[test]
fn every_refusal_has_a_status_and_a_sentence() {
    use AdmissionErrorKind::{AddressFull, AddressRate, Full, Rate};
    let kinds = [Full, AddressFull, Rate, AddressRate];
    assert_eq!(kinds.map(AdmissionErrorKind::http_status), [503, 429, 503, 429]);
    let mut door = Door::new(AdmissionConfig::direct());
    let refused = refusals(&mut door, 1, 1, at(0));
    assert_eq!(refused, [millis(500)]);
    let refused = door.admit(Some(1), at(0)).unwrap_err();
    assert_eq!(refused.to_string(), "too many new connections from this address; try again in 1s");
}

#[test]
fn i32_senseless_configurations_are_refused_and_survived() {
    let default = AdmissionConfig::direct();
    assert_eq!(default.validate(), Ok(()));
    let (nothing, endless) = (
        Rate { burst: 0, refill: Duration::ZERO },
        Rate { burst: u32::MAX, refill: Duration::MAX },
    );
    for wrong in [
        default.with_rate_per_address(Some(nothing)),
        default.with_rate(Some(nothing)),
        default.with_rate_per_address(Some(endless)),
        default.with_rate(Some(endless)),
        default.with_max_connections(0),
        default.with_max_per_address(0),
        default.with_max_addresses(0),
        default.with_longest_wait(Duration::ZERO),
        default.with_retry_after(Duration::MAX),
    ] {
        assert!(wrong.validate().is_err(), "{wrong:?}");
        let mut door = Door::new(wrong);
        for now in [at(5_000), at(0) + Duration::MAX, at(0)] {
            let _ = door.admit(Some(1), now);
            door.leave(Some(1));
        }
    }
}

proptest! {
    /// Compared with a model that counts admissions: never more than burst and refill allow, and no
    /// refusal before that.
    #[test]
    fn w20_admissions_are_exactly_what_the_buckets_hold(
        steps in prop::collection::vec((0_u64..300, 0_u32..4), 1..400),
    ) {
        let (per_address, overall) = (Rate { burst: 3, refill: millis(700) }, Rate { burst: 5, refill: millis(200) });
        let config = AdmissionConfig::direct().with_rate_per_address(Some(per_address)).with_rate(Some(overall));
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
                Err(AdmissionErrorKind::AddressRate)
            } else if all.left == 0 {
                Err(AdmissionErrorKind::Rate)
            } else {
                bucket.left -= 1;
                all.left -= 1;
                Ok(())
            };
            prop_assert_eq!(door.admit(Some(address), now).map_err(|refused| refused.reason), expected);
        }
    }
}

/// A token bucket, simulated drop by drop: one per refill from the moment it is no longer full.
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

/// Uses up the burst of an address; returns the delays of this many refusals after it.
fn refusals(door: &mut Door, address: u32, refused: usize, now: Instant) -> Vec<Duration> {
    let asked = core::iter::repeat_with(|| door.admit(Some(address), now));
    asked.filter_map(Result::err).map(|refused| refused.retry_after).take(refused).collect()
}
