//! A token ends while its client stays connected.

use relink::session::Secret;
use relink_node::{ConnectionId, NodeAction, NodeConfig, NodeInput};
use relink_v1::{ClientFrame, Encoding};

use crate::world::{World, secs};

fn ends(world: &mut World, id: ConnectionId, after: Option<u64>) {
    world.give(0, NodeInput::TokenEnds { id, after: after.map(secs) });
}

#[test]
fn m06_a_connection_whose_token_is_over_is_closed_with_4002_and_its_session_lasts() {
    let mut world = World::new(1);
    let (id, resume) = world.join(0, "ada");
    let (other, _) = world.join(0, "bob");
    ends(&mut world, id, Some(60));
    world.pass(secs(69));
    assert_eq!(world.close_code(id), None, "within the grace");
    world.pass(secs(1));
    assert_eq!(world.close_code(id), Some(4002));
    assert_eq!(world.heard(id), ["error token_expired"]);
    assert_eq!(world.close_code(other), None, "nobody said that this one ends");
    assert!(world.come_back(0, "ada", &resume).1.resumed);
}

#[test]
fn m06_a_renewed_token_counts_from_its_own_beginning() {
    let mut world = World::with(1, NodeConfig::default().with_token_grace(secs(0)));
    let (id, _) = world.join(0, "ada");
    ends(&mut world, id, Some(60));
    world.pass(secs(50));
    ends(&mut world, id, Some(60));
    world.pass(secs(59));
    assert_eq!(world.close_code(id), None);
    ends(&mut world, id, Some(5));
    world.pass(secs(4));
    assert_eq!(world.close_code(id), None, "a shorter one, too");
    ends(&mut world, id, None);
    world.pass(secs(1_000));
    assert_eq!(world.close_code(id), None, "one without an end");
    ends(&mut world, id, Some(0));
    world.pass(secs(0));
    assert_eq!(world.close_code(id), Some(4002), "one that is over already");
}

#[test]
fn m06_where_a_fresh_token_is_being_looked_at_the_answer_decides() {
    for (after, closed) in [(Some(60), None), (None, Some(4002))] {
        let mut world = World::with(1, NodeConfig::default().with_token_grace(secs(0)));
        let (id, _) = world.join(0, "ada");
        ends(&mut world, id, Some(60));
        world.pass(secs(59));
        let renew = ClientFrame::Renew { token: Secret::from("ada") }.encode(Encoding::Json);
        world.nodes[0].handle(NodeInput::Message { id, message: renew }, world.now);
        assert!(matches!(world.nodes[0].poll_action(), Some(NodeAction::Identify { .. })));
        world.pass(secs(5));
        assert_eq!(world.close_code(id), None, "nobody has answered yet");
        if let Some(after) = after {
            ends(&mut world, id, Some(after));
        }
        world.give(0, NodeInput::Identified { id, result: Ok("ada".into()) });
        assert_eq!(world.close_code(id), closed);
    }
}

#[test]
fn m06_a_token_that_ends_before_the_hello_closes_as_well() {
    let mut world = World::with(1, NodeConfig::default().with_token_grace(secs(0)));
    let id = world.open(0);
    ends(&mut world, id, Some(3));
    world.pass(secs(3));
    assert_eq!(world.close_code(id), Some(4002));
}

#[test]
fn m06_the_deadline_of_a_long_token_does_not_outlive_its_connection_for_long() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    ends(&mut world, id, Some(100_000));
    world.hang_up(id, 1000);
    world.pass(secs(3_600));
    assert_eq!(world.nodes[0].poll_timeout(), None, "nobody is here");
}
