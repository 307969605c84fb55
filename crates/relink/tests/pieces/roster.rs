//! The members of a channel, as a client sees them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use relink::session::{Roster, RosterChange};

use RosterChange::{Joined, Left, Survived, Updated};

/// Members are letters, stays numbers, the info a number; the application keeps a text for each.
type List = Roster<char, String, u64, u64>;

#[test]
fn i27_changes_that_overtake_the_snapshot_are_held_and_then_applied() {
    let mut list = List::new();
    list.joined('c', 30, 0);
    list.left(&'a', 10);
    assert_eq!((changes(&mut list), list.len()), (vec![], 0));
    list.snapshot([('a', 10, 0), ('b', 20, 0)]);
    assert_eq!(
        changes(&mut list),
        [Joined { key: 'b' }, Joined { key: 'c' }],
        "and nothing of a, who came and went"
    );
    list.joined('d', 40, 0);
    assert_eq!(changes(&mut list), [Joined { key: 'd' }], "from now on at once");
}

#[test]
fn i27_a_late_left_of_an_old_join_removes_nobody() {
    let mut list = live(['a']);
    let kept = list.get_mut(&'a').unwrap();
    kept.value = Some("peer".into());
    list.joined('a', 2, 0);
    list.left(&'a', 1);
    assert_eq!(changes(&mut list), [Survived { key: 'a' }], "their own link was down");
    assert_eq!(list.get(&'a').unwrap().value.as_deref(), Some("peer"));
    list.left(&'b', 1);
    assert_eq!(changes(&mut list), []);
    list.left(&'a', 2);
    assert_eq!(changes(&mut list), [Left { key: 'a', value: Some("peer".into()) }]);
}

#[test]
fn i27_only_net_changes_are_told() {
    let mut list = live(['a', 'b']);
    list.get_mut(&'a').unwrap().value = Some("kept".into());
    list.joined('c', 9, 0);
    list.left(&'c', 9);
    list.left(&'a', 1);
    list.joined('a', 2, 0);
    list.joined('b', 1, 5);
    list.joined('b', 1, 6);
    assert_eq!(changes(&mut list), [Survived { key: 'a' }, Updated { key: 'b' }]);
    assert_eq!(list.get(&'a').unwrap().value.as_deref(), Some("kept"));
    assert_eq!(*list.get(&'b').unwrap().info(), 6);
    list.joined('b', 1, 6);
    assert_eq!(changes(&mut list), [], "nothing new");
}

#[test]
fn m19_survivors_keep_their_object_leavers_give_it_back_newcomers_have_none() {
    let mut list = live(['a', 'b', 'c']);
    for key in ['a', 'b', 'c'] {
        list.get_mut(&key).unwrap().value = Some(format!("peer {key}"));
    }
    let identity = list.get(&'b').unwrap().value.as_ref().unwrap().as_ptr();
    list.reset();
    list.snapshot([('b', 1, 0), ('c', 7, 0), ('d', 1, 0)]);
    assert_eq!(
        changes(&mut list),
        [
            Left { key: 'a', value: Some("peer a".into()) },
            Survived { key: 'b' },
            Survived { key: 'c' },
            Joined { key: 'd' }
        ]
    );
    assert_eq!(
        list.get(&'b').unwrap().value.as_ref().unwrap().as_ptr(),
        identity,
        "the same object"
    );
    assert_eq!(*list.get(&'c').unwrap().join(), 7);
    assert_eq!(list.get(&'d').unwrap().value, None);
}

#[test]
fn a_short_drop_does_not_make_the_list_flicker() {
    let mut list = live(['a', 'b']);
    list.reset();
    assert!(list.is_stale());
    list.left(&'b', 1);
    list.joined('c', 1, 0);
    assert_eq!(changes(&mut list), []);
    assert!(list.keys().eq(&['a', 'b']), "the old members stay to be seen");
    list.snapshot([('a', 1, 0), ('b', 1, 0)]);
    assert!(!list.is_stale());
    assert!(list.keys().eq(&['a', 'c']));
}

#[test]
fn i27_what_the_old_link_said_does_not_reach_the_new_list() {
    let mut list = List::new();
    list.joined('x', 1, 0);
    list.reset();
    list.snapshot([('a', 1, 0)]);
    assert_eq!(changes(&mut list), [Joined { key: 'a' }]);
}

#[test]
fn i27_a_second_snapshot_on_the_same_link_tells_of_differences_alone() {
    let mut list = live(['a', 'b', 'c']);
    list.snapshot([('a', 1, 0), ('b', 1, 8), ('d', 1, 0)]);
    let told = changes(&mut list);
    assert_eq!(told, [Updated { key: 'b' }, Left { key: 'c', value: None }, Joined { key: 'd' }]);
}

#[test]
fn i27_what_is_held_is_bounded_and_what_was_lost_is_said() {
    let mut list = List::new();
    let most = u64::try_from(List::MAX_HELD).unwrap();
    for join in 0..most {
        list.joined('a', join, 0);
    }
    assert!(!list.wants_snapshot());
    list.left(&'a', most - 1);
    assert!(list.wants_snapshot());
    list.snapshot([]);
    assert!(list.keys().eq(&['a']), "wrong, and known to be");
    assert!(list.wants_snapshot());
    list.snapshot([]);
    assert!(list.is_empty() && !list.wants_snapshot());
}

#[test]
fn at_the_end_everybody_is_gone_and_their_objects_come_back() {
    let mut list = live(['a', 'b']);
    list.get_mut(&'a').unwrap().value = Some("peer".into());
    list.clear();
    assert!(list.is_empty());
    let told = changes(&mut list);
    assert_eq!(
        told,
        [Left { key: 'a', value: Some("peer".into()) }, Left { key: 'b', value: None }]
    );
    list.joined('a', 2, 0);
    assert_eq!(changes(&mut list), [], "a snapshot is to come");
}

/// One thing that happens between a server, its members and one client.
#[derive(Debug, Clone, Copy)]
enum Step {
    Join(char),
    /// The member is back before its earlier stay was reported to end.
    Rejoin(char),
    Update(char),
    Leave(char),
    Subscribe,
    TakeSnapshot,
    DeliverSnapshot,
    LoseLink,
    Poll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = prop::sample::select(vec!['a', 'b', 'c', 'd']);
    let step = prop_oneof![
        3 => key.clone().prop_map(Step::Join),
        2 => key.clone().prop_map(Step::Rejoin),
        1 => key.clone().prop_map(Step::Update),
        2 => key.prop_map(Step::Leave),
        2 => Just(Step::Subscribe),
        3 => Just(Step::TakeSnapshot),
        3 => Just(Step::DeliverSnapshot),
        1 => Just(Step::LoseLink),
        2 => Just(Step::Poll),
    ];
    prop::collection::vec(step, 1..120)
}

type Members = BTreeMap<char, (u64, u64)>;

/// A server whose snapshot is overtaken by changes, and a client whose link comes and goes.
#[derive(Default)]
struct RosterModel {
    members: Members,
    serial: u64,
    list: Roster<char, u64, u64, u64>,
    subscribed: bool,
    snapshot: Option<Members>,
    /// The members as the application knows them from changes alone, each with the value that it
    /// keeps.
    told: BTreeMap<char, u64>,
}

impl RosterModel {
    fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn say_joined(&mut self, key: char) {
        let (join, info) = self.members[&key];
        if self.subscribed {
            self.list.joined(key, join, info);
        }
    }

    fn say_left(&mut self, key: char, join: u64) {
        if self.subscribed {
            self.list.left(&key, join);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Join(key) => {
                if !self.members.contains_key(&key) {
                    let fresh = (self.next(), self.next());
                    self.members.insert(key, fresh);
                    self.say_joined(key);
                }
            }
            Step::Rejoin(key) => {
                let fresh = (self.next(), self.next());
                if let Some((old, _)) = self.members.get(&key).copied() {
                    self.members.insert(key, fresh);
                    self.say_joined(key);
                    self.say_left(key, old);
                }
            }
            Step::Update(key) => {
                let info = self.next();
                if let Some(member) = self.members.get_mut(&key) {
                    member.1 = info;
                    self.say_joined(key);
                }
            }
            Step::Leave(key) => {
                if let Some((join, _)) = self.members.remove(&key) {
                    self.say_left(key, join);
                }
            }
            Step::Subscribe => {
                self.list.reset();
                self.subscribed = true;
                self.snapshot = None;
            }
            Step::TakeSnapshot => {
                if self.subscribed && self.list.is_stale() && self.snapshot.is_none() {
                    self.snapshot = Some(self.members.clone());
                }
            }
            Step::DeliverSnapshot => {
                if let Some(snapshot) = self.snapshot.take() {
                    self.list.snapshot(
                        snapshot.into_iter().map(|(key, (join, info))| (key, join, info)),
                    );
                }
            }
            Step::LoseLink => {
                self.subscribed = false;
                self.snapshot = None;
                self.list.reset();
            }
            Step::Poll => self.poll(),
        }
    }

    fn poll(&mut self) {
        while let Some(change) = self.list.poll_change() {
            match change {
                Joined { key } => {
                    let fresh = self.next();
                    self.list.get_mut(&key).expect("is there").value = Some(fresh);
                    assert_eq!(self.told.insert(key, fresh), None, "{key} joined twice");
                }
                Survived { key } | Updated { key } => {
                    assert!(self.told.contains_key(&key), "{key} was never there")
                }
                Left { key, value } => {
                    assert_eq!(self.told.remove(&key), value, "{key} left with another's object")
                }
                _ => unreachable!("no other change"),
            }
        }
        let seen = self.list.iter().map(|(key, member)| (*key, member.value.expect("kept")));
        assert!(
            seen.eq(self.told.clone()),
            "what is to be seen is what was told, each with its object"
        );
    }

    fn is_live(&self) -> bool {
        self.subscribed && !self.list.is_stale()
    }

    fn seen(&self) -> Members {
        self.list.iter().map(|(key, member)| (*key, (*member.join(), *member.info()))).collect()
    }
}

proptest! {
    /// Whatever overtakes what: a live list equals the server's, a stale one does not change, and
    /// the changes lead to the same list.
    #[test]
    fn i27_the_list_is_the_servers_whatever_overtakes_what(steps in steps()) {
        let mut model = RosterModel::default();
        for step in steps {
            let before = model.seen();
            let was_stale = model.list.is_stale();
            model.step(step);
            if model.is_live() {
                prop_assert_eq!(model.seen(), model.members.clone(), "after {:?}", step);
            } else if was_stale {
                prop_assert_eq!(model.seen(), before, "after {:?}", step);
            }
        }
        model.poll();
    }
}

/// A list that has its snapshot, and has reported it.
fn live<const N: usize>(keys: [char; N]) -> List {
    let mut list = List::new();
    list.snapshot(keys.map(|key| (key, 1, 0)));
    assert_eq!(changes(&mut list), keys.map(|key| Joined { key }));
    list
}

fn changes(list: &mut List) -> Vec<RosterChange<char, String>> {
    core::iter::from_fn(|| list.poll_change()).collect()
}
