//! The members of a channel.

use relink::Subscription;
use relink::session::Member;
use relink_v1::ServerFrame;

use relink_sim::v1::member;

use crate::support::{Client, connected, follow, stay, told};

/// Connected, in a room with `ada` and `bob`, after all events of that.
fn in_a_room() -> Client {
    let mut sim = connected();
    sim.subscribe("room", Subscription::default().with_presence("me"));
    sim.peer().lines();
    sim.peer().subscribed("room", 0, true);
    sim.peer().members("room", &[("ada", "here"), ("bob", "here")], false);
    told(&mut sim);
    sim
}

fn names(sim: &Client) -> Vec<String> {
    sim.machine().members(&"room".into()).into_iter().map(|member| member.user).collect()
}

#[test]
fn i27_changes_that_overtake_the_list_wait_for_it() {
    let mut sim = connected();
    sim.subscribe("room", Subscription::default().with_presence("me"));
    sim.peer().lines();
    sim.peer().subscribed("room", 0, true);
    sim.peer().joined("room", "cleo", "new");
    sim.peer().left("room", "bob");
    assert_eq!(told(&mut sim), ["subscribed room"]);
    assert!(names(&sim).is_empty());
    sim.peer().members("room", &[("ada", "here"), ("bob", "here")], false);
    assert_eq!(
        told(&mut sim),
        ["room: ada (here) joined", "room: cleo (new) joined"],
        "bob was gone by then"
    );
    assert_eq!(names(&sim), ["ada", "cleo"]);
}

#[test]
fn i27_who_was_there_stays_to_be_seen_while_the_link_is_down_and_net_changes_are_told() {
    let mut sim = in_a_room();
    sim.peer().reset();
    assert_eq!(
        sim.machine().members(&"room".into()),
        [member("ada", "here"), member("bob", "here")]
    );
    told(&mut sim);
    sim.peer().back(0);
    sim.peer().lines();
    sim.peer().subscribed("room", 0, true);
    assert_eq!(names(&sim), ["ada", "bob"], "the list is yet to come");
    sim.peer().joined("room", "dan", "");
    sim.peer().left("room", "dan");
    sim.peer().members("room", &[("ada", "back soon"), ("cleo", "new")], false);
    assert_eq!(
        told(&mut sim),
        [
            "resumed",
            "connected again",
            "subscribed room",
            "room: ada (back soon) changed",
            "room: bob (here) left",
            "room: cleo (new) joined"
        ]
    );
    sim.peer().reset();
    told(&mut sim);
    sim.peer().back(0);
    sim.peer().lines();
    sim.peer().subscribed("room", 0, true);
    sim.peer().members("room", &[("ada", "back soon"), ("cleo", "new")], false);
    assert_eq!(told(&mut sim)[2..], ["subscribed room"], "nothing has changed");
}

#[test]
fn i27_changes_after_the_list_are_told_as_they_come() {
    let mut sim = in_a_room();
    sim.peer().joined("room", "cleo", "new");
    sim.peer().joined("room", "ada", "away");
    sim.peer().left("room", "bob");
    sim.peer().left("room", "nobody");
    sim.peer().joined("elsewhere", "eve", "");
    assert_eq!(
        told(&mut sim),
        ["room: cleo (new) joined", "room: ada (away) changed", "room: bob (here) left"]
    );
}

#[test]
fn i27_whoever_is_out_for_good_sees_nobody_and_has_no_ghosts_later() {
    let mut sim = in_a_room();
    sim.peer().unsubscribed("room", "channel_not_authorized");
    assert_eq!(
        told(&mut sim),
        [
            "room: ada (here) left",
            "room: bob (here) left",
            "unsubscribed room: channel_not_authorized, no more"
        ]
    );
    assert!(names(&sim).is_empty());
}

#[test]
fn i27_a_room_that_is_too_lively_is_asked_for_its_list_again() {
    let mut sim = connected();
    sim.subscribe("room", Subscription::default().with_presence("me"));
    sim.peer().lines();
    sim.peer().subscribed("room", 0, true);
    for number in 0..5_000 {
        sim.peer().joined("room", &format!("user {number}"), "");
    }
    sim.peer().members("room", &[], false);
    assert_eq!(
        sim.peer().lines(),
        ["subscribe room since 1/0 as me"],
        "more came than could be held"
    );
    sim.peer().subscribed("room", 0, true);
    sim.peer().members("room", &[("ada", "here")], false);
    assert_eq!(names(&sim), ["ada"]);
    assert!(sim.peer().lines().is_empty());
}

#[test]
fn a10_after_a_return_the_same_channels_and_the_same_words_about_oneself() {
    let mut sim = in_a_room();
    follow(&mut sim, "news", 3);
    sim.peer().reset();
    sim.peer().back(0);
    assert_eq!(sim.peer().lines(), ["subscribe news since 1/3", "subscribe room since 1/0 as me"]);
    // Another text is sent at once, and again after the next reconnect.
    sim.subscribe("room", Subscription::default().with_presence("busy"));
    assert_eq!(sim.peer().lines(), ["subscribe room since 1/0 as busy"]);
    sim.peer().reset();
    sim.peer().back(0);
    assert_eq!(sim.peer().lines()[1], "subscribe room since 1/0 as busy");
    sim.peer().subscribed("room", 0, true);
    sim.subscribe("room", Subscription::default().with_presence("busy"));
    assert!(sim.peer().lines().is_empty(), "nothing new in that");
}

#[test]
fn i27_a_list_takes_effect_with_its_last_page() {
    let mut sim = connected();
    sim.subscribe("room", Subscription::default().with_presence("me"));
    sim.peer().lines();
    sim.peer().subscribed("room", 0, true);
    sim.peer().joined("room", "early", "before the list");
    sim.peer().members("room", &[("ada", "here"), ("bob", "here")], true);
    sim.peer().joined("room", "cleo", "in between");
    sim.peer().left("room", "ada");
    assert_eq!(told(&mut sim), ["subscribed room"]);
    assert!(names(&sim).is_empty());
    sim.peer().members("room", &[("dan", "here")], false);
    assert_eq!(names(&sim), ["bob", "cleo", "dan", "early"]);
    assert_eq!(told(&mut sim).len(), 4, "ada was gone by then");
}

#[test]
fn i27_a_second_list_in_pages_replaces_the_first_at_its_end() {
    let mut sim = in_a_room();
    sim.peer().members("room", &[("ada", "here")], true);
    sim.peer().left("room", "bob");
    sim.peer().joined("room", "cleo", "new");
    assert!(told(&mut sim).is_empty());
    sim.peer().members("room", &[("bob", "here"), ("dan", "here")], false);
    assert_eq!(
        told(&mut sim),
        ["room: bob (here) left", "room: cleo (new) joined", "room: dan (here) joined"]
    );
    sim.peer().joined("room", "eve", "");
    assert_eq!(names(&sim), ["ada", "cleo", "dan", "eve"]);
}

#[test]
fn i27_half_a_list_is_forgotten_with_its_link() {
    let mut sim = in_a_room();
    sim.peer().members("room", &[("mallory", "")], true);
    sim.peer().reset();
    sim.peer().back(0);
    sim.peer().lines();
    sim.peer().subscribed("room", 0, true);
    sim.peer().members("room", &[("ada", "here")], true);
    sim.peer().members("room", &[("bob", "here")], false);
    assert_eq!(names(&sim), ["ada", "bob"]);
}

/// The server was restarted: bob's new session is there before his old one expires.
#[test]
fn i27_a_user_comes_with_the_first_stay_and_leaves_with_the_last() {
    let mut sim = in_a_room();
    stay(&mut sim, "room", "bob", "bob-2", true);
    sim.peer().left("room", "bob");
    assert_eq!(
        told(&mut sim),
        ["room: bob () once more", "room: bob (here) once less"],
        "bob is there"
    );
    assert_eq!(names(&sim), ["ada", "bob"]);
    stay(&mut sim, "room", "bob", "bob-2", false);
    assert_eq!(told(&mut sim), ["room: bob () left"]);
    stay(&mut sim, "room", "bob", "bob-3", true);
    assert_eq!(told(&mut sim), ["room: bob () joined"]);
}

#[test]
fn i27_a_list_in_which_a_user_has_another_stay_makes_nobody_come_or_go() {
    for new in ["bob-0", "bob-2"] {
        let mut sim = in_a_room();
        sim.peer().reset();
        told(&mut sim);
        sim.peer().back(0);
        sim.peer().lines();
        sim.peer().subscribed("room", 0, true);
        told(&mut sim);
        let bob = Member { join: new.into(), ..member("bob", "here") };
        let members = vec![member("ada", "here"), bob];
        sim.peer().say(ServerFrame::Members { channel: "room".into(), members, more: false });
        let heard = told(&mut sim);
        assert!(
            heard.iter().all(|what| !what.contains("joined") && !what.contains("left")),
            "{heard:?}"
        );
        assert_eq!(names(&sim), ["ada", "bob"]);
        stay(&mut sim, "room", "bob", new, false);
        assert_eq!(told(&mut sim), ["room: bob (here) left"]);
    }
}

#[test]
fn i27_each_anonymous_stay_is_somebody_else() {
    let mut sim = in_a_room();
    stay(&mut sim, "room", "anonymous", "1", true);
    stay(&mut sim, "room", "anonymous", "2", true);
    stay(&mut sim, "room", "anonymous", "1", false);
    stay(&mut sim, "room", "anonymous", "2", false);
    let expected =
        ["joined", "joined", "left", "left"].map(|what| format!("room: anonymous () {what}"));
    assert_eq!(told(&mut sim), expected);
}

#[test]
fn i27_who_gives_up_a_room_sees_each_user_leave_once() {
    let mut sim = in_a_room();
    stay(&mut sim, "room", "bob", "bob-2", true);
    told(&mut sim);
    sim.peer().unsubscribed("room", "channel_not_authorized");
    let heard = told(&mut sim);
    assert_eq!(
        heard.iter().filter(|what| what.contains("bob") && what.contains("left")).count(),
        1,
        "{heard:?}"
    );
}
