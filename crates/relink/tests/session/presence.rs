//! I27 and A10: who else is there.

use relink::Subscription;
use relink::session::Member;
use relink_v1::ServerFrame;

use crate::desk::{Desk, member};

/// Connected, in a room with `ada` and `bob`, and all of that is told.
fn in_a_room() -> Desk {
    let mut desk = Desk::connected();
    desk.session.subscribe("room", Subscription::default().with_presence("me"));
    desk.heard();
    desk.subscribed("room", 0, true);
    desk.members("room", &[("ada", "here"), ("bob", "here")]);
    desk.told();
    desk
}

fn names(desk: &Desk) -> Vec<String> {
    desk.session.members(&"room".into()).into_iter().map(|member| member.user).collect()
}

#[test]
fn i27_changes_that_overtake_the_list_wait_for_it() {
    let mut desk = Desk::connected();
    desk.session.subscribe("room", Subscription::default().with_presence("me"));
    desk.heard();
    desk.subscribed("room", 0, true);
    desk.joined("room", "cleo", "new");
    desk.left("room", "bob");
    assert_eq!(desk.told(), ["subscribed room"]);
    assert!(names(&desk).is_empty());
    desk.members("room", &[("ada", "here"), ("bob", "here")]);
    assert_eq!(
        desk.told(),
        ["room: ada (here) joined", "room: cleo (new) joined"],
        "bob was gone by then"
    );
    assert_eq!(names(&desk), ["ada", "cleo"]);
}

#[test]
fn i27_who_was_there_stays_to_be_seen_while_the_link_is_down_and_net_changes_are_told() {
    let mut desk = in_a_room();
    desk.lose();
    assert_eq!(
        desk.session.members(&"room".into()),
        [member("ada", "here"), member("bob", "here")]
    );
    desk.told();
    desk.back(0);
    desk.heard();
    desk.subscribed("room", 0, true);
    assert_eq!(names(&desk), ["ada", "bob"], "the list is yet to come");
    desk.joined("room", "dan", "");
    desk.left("room", "dan");
    desk.members("room", &[("ada", "back soon"), ("cleo", "new")]);
    assert_eq!(
        desk.told(),
        [
            "resumed",
            "connected again",
            "subscribed room",
            "room: ada (back soon) changed",
            "room: bob (here) left",
            "room: cleo (new) joined"
        ]
    );
    desk.lose();
    desk.told();
    desk.back(0);
    desk.heard();
    desk.subscribed("room", 0, true);
    desk.members("room", &[("ada", "back soon"), ("cleo", "new")]);
    assert_eq!(desk.told()[2..], ["subscribed room"], "nothing has changed");
}

#[test]
fn i27_changes_after_the_list_are_told_as_they_come() {
    let mut desk = in_a_room();
    desk.joined("room", "cleo", "new");
    desk.joined("room", "ada", "away");
    desk.left("room", "bob");
    desk.left("room", "nobody");
    desk.joined("elsewhere", "eve", "");
    assert_eq!(
        desk.told(),
        ["room: cleo (new) joined", "room: ada (away) changed", "room: bob (here) left"]
    );
}

#[test]
fn i27_whoever_is_out_for_good_sees_nobody_and_has_no_ghosts_later() {
    let mut desk = in_a_room();
    desk.unsubscribed("room", "channel_not_authorized");
    assert_eq!(
        desk.told(),
        [
            "room: ada (here) left",
            "room: bob (here) left",
            "unsubscribed room: channel_not_authorized, no more"
        ]
    );
    assert!(names(&desk).is_empty());
}

#[test]
fn i27_a_room_that_is_too_lively_is_asked_for_its_list_again() {
    let mut desk = Desk::connected();
    desk.session.subscribe("room", Subscription::default().with_presence("me"));
    desk.heard();
    desk.subscribed("room", 0, true);
    for number in 0..5_000 {
        desk.joined("room", &format!("user {number}"), "");
    }
    desk.members("room", &[]);
    assert_eq!(desk.heard(), ["subscribe room since 1/0 as me"], "more came than could be held");
    desk.subscribed("room", 0, true);
    desk.members("room", &[("ada", "here")]);
    assert_eq!(names(&desk), ["ada"]);
    assert!(desk.heard().is_empty());
}

#[test]
fn a10_after_a_return_the_same_channels_and_the_same_words_about_oneself() {
    let mut desk = in_a_room();
    desk.follow("news", 3);
    desk.lose();
    desk.back(0);
    assert_eq!(desk.heard(), ["subscribe news since 1/3", "subscribe room since 1/0 as me"]);
    // Other words go out at once, and are those of the next return.
    desk.session.subscribe("room", Subscription::default().with_presence("busy"));
    assert_eq!(desk.heard(), ["subscribe room since 1/0 as busy"]);
    desk.lose();
    desk.back(0);
    assert_eq!(desk.heard()[1], "subscribe room since 1/0 as busy");
    desk.subscribed("room", 0, true);
    desk.session.subscribe("room", Subscription::default().with_presence("busy"));
    assert!(desk.heard().is_empty(), "nothing new in that");
}

#[test]
fn i27_a_list_takes_effect_with_its_last_page() {
    let mut desk = Desk::connected();
    desk.session.subscribe("room", Subscription::default().with_presence("me"));
    desk.heard();
    desk.subscribed("room", 0, true);
    desk.joined("room", "early", "before the list");
    desk.page("room", &[("ada", "here"), ("bob", "here")], true);
    desk.joined("room", "cleo", "in between");
    desk.left("room", "ada");
    assert_eq!(desk.told(), ["subscribed room"]);
    assert!(names(&desk).is_empty());
    desk.page("room", &[("dan", "here")], false);
    assert_eq!(names(&desk), ["bob", "cleo", "dan", "early"]);
    assert_eq!(desk.told().len(), 4, "ada was gone by then");
}

#[test]
fn i27_a_second_list_in_pages_replaces_the_first_at_its_end() {
    let mut desk = in_a_room();
    desk.page("room", &[("ada", "here")], true);
    desk.left("room", "bob");
    desk.joined("room", "cleo", "new");
    assert!(desk.told().is_empty());
    desk.page("room", &[("bob", "here"), ("dan", "here")], false);
    assert_eq!(
        desk.told(),
        ["room: bob (here) left", "room: cleo (new) joined", "room: dan (here) joined"]
    );
    desk.joined("room", "eve", "");
    assert_eq!(names(&desk), ["ada", "cleo", "dan", "eve"]);
}

#[test]
fn i27_half_a_list_is_forgotten_with_its_link() {
    let mut desk = in_a_room();
    desk.page("room", &[("mallory", "")], true);
    desk.lose();
    desk.back(0);
    desk.heard();
    desk.subscribed("room", 0, true);
    desk.page("room", &[("ada", "here")], true);
    desk.page("room", &[("bob", "here")], false);
    assert_eq!(names(&desk), ["ada", "bob"]);
}

/// The server was started anew: bob's new session is there before his old one is given up.
#[test]
fn i27_a_user_comes_with_the_first_stay_and_leaves_with_the_last() {
    let mut desk = in_a_room();
    desk.stay("room", "bob", "bob-2", true);
    desk.left("room", "bob");
    assert_eq!(
        desk.told(),
        ["room: bob () once more", "room: bob (here) once less"],
        "bob is there"
    );
    assert_eq!(names(&desk), ["ada", "bob"]);
    desk.stay("room", "bob", "bob-2", false);
    assert_eq!(desk.told(), ["room: bob () left"]);
    desk.stay("room", "bob", "bob-3", true);
    assert_eq!(desk.told(), ["room: bob () joined"]);
}

#[test]
fn i27_a_list_in_which_a_user_has_another_stay_makes_nobody_come_or_go() {
    for new in ["bob-0", "bob-2"] {
        let mut desk = in_a_room();
        desk.lose();
        desk.told();
        desk.back(0);
        desk.heard();
        desk.subscribed("room", 0, true);
        desk.told();
        let bob = Member { join: new.into(), ..member("bob", "here") };
        let members = vec![member("ada", "here"), bob];
        desk.say(ServerFrame::Members { channel: "room".into(), members, more: false });
        let told = desk.told();
        assert!(
            told.iter().all(|what| !what.contains("joined") && !what.contains("left")),
            "{told:?}"
        );
        assert_eq!(names(&desk), ["ada", "bob"]);
        desk.stay("room", "bob", new, false);
        assert_eq!(desk.told(), ["room: bob (here) left"]);
    }
}

#[test]
fn i27_each_anonymous_stay_is_somebody_else() {
    let mut desk = in_a_room();
    desk.stay("room", "anonymous", "1", true);
    desk.stay("room", "anonymous", "2", true);
    desk.stay("room", "anonymous", "1", false);
    desk.stay("room", "anonymous", "2", false);
    let told =
        ["joined", "joined", "left", "left"].map(|what| format!("room: anonymous () {what}"));
    assert_eq!(desk.told(), told);
}

#[test]
fn i27_who_gives_up_a_room_sees_each_user_leave_once() {
    let mut desk = in_a_room();
    desk.stay("room", "bob", "bob-2", true);
    desk.told();
    desk.unsubscribed("room", "channel_not_authorized");
    let told = desk.told();
    assert_eq!(
        told.iter().filter(|what| what.contains("bob") && what.contains("left")).count(),
        1,
        "{told:?}"
    );
}
