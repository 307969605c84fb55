//! A token expires while its client stays connected.

use relink::session::Secret;
use relink_node::{ConnectionId, NodeConfig, NodeInput};
use relink_sim::cluster::TaskKind;
use relink_v1::{ClientFrame, Codec, Encoding};

use crate::support::{Cluster, nodes, nodes_with, secs};

fn ends(cluster: &mut Cluster, id: ConnectionId, after: Option<u64>) {
    cluster.give(0, NodeInput::TokenEnds { id, after: after.map(secs) });
}

#[test]
fn m06_a_connection_whose_token_is_over_is_closed_with_4002_and_its_session_lasts() {
    let mut cluster = nodes(1);
    let (id, resume) = cluster.join(0, "ada");
    let (other, _) = cluster.join(0, "bob");
    ends(&mut cluster, id, Some(60));
    cluster.advance(secs(69));
    assert_eq!(cluster.close_code(id), None, "within the grace");
    cluster.advance(secs(1));
    assert_eq!(cluster.close_code(id), Some(4002));
    assert_eq!(cluster.heard(id), ["error token_expired"]);
    assert_eq!(cluster.close_code(other), None, "this token has no known end");
    assert!(cluster.come_back(0, "ada", &resume).1.resumed);
}

#[test]
fn m06_a_renewed_token_counts_from_its_own_beginning() {
    let mut cluster = nodes_with(1, NodeConfig::default().with_token_grace(secs(0)));
    let (id, _) = cluster.join(0, "ada");
    ends(&mut cluster, id, Some(60));
    cluster.advance(secs(50));
    ends(&mut cluster, id, Some(60));
    cluster.advance(secs(59));
    assert_eq!(cluster.close_code(id), None);
    ends(&mut cluster, id, Some(5));
    cluster.advance(secs(4));
    assert_eq!(cluster.close_code(id), None, "a shorter one, too");
    ends(&mut cluster, id, None);
    cluster.advance(secs(1_000));
    assert_eq!(cluster.close_code(id), None, "one without an end");
    ends(&mut cluster, id, Some(0));
    cluster.advance(secs(0));
    assert_eq!(cluster.close_code(id), Some(4002), "one that is over already");
}

#[test]
fn m06_where_a_fresh_token_is_being_looked_at_the_answer_decides() {
    for (after, closed) in [(Some(60), None), (None, Some(4002))] {
        let mut cluster = nodes_with(1, NodeConfig::default().with_token_grace(secs(0)));
        let (id, _) = cluster.join(0, "ada");
        ends(&mut cluster, id, Some(60));
        cluster.advance(secs(59));
        let renew = ClientFrame::Renew { token: Secret::from("ada") }.encode(Encoding::Json);
        cluster.hold(TaskKind::Identify);
        cluster.give(0, NodeInput::Message { id, message: renew });
        assert_eq!(cluster.env.waiting(TaskKind::Identify), 1);
        cluster.advance(secs(5));
        assert_eq!(cluster.close_code(id), None, "the application has not answered yet");
        if let Some(after) = after {
            ends(&mut cluster, id, Some(after));
        }
        cluster.give(0, NodeInput::Identified { id, result: Ok("ada".into()) });
        assert_eq!(cluster.close_code(id), closed);
    }
}

#[test]
fn m06_a_token_that_ends_before_the_hello_closes_as_well() {
    let mut cluster = nodes_with(1, NodeConfig::default().with_token_grace(secs(0)));
    let id = cluster.open(0);
    ends(&mut cluster, id, Some(3));
    cluster.advance(secs(3));
    assert_eq!(cluster.close_code(id), Some(4002));
}

#[test]
fn m06_the_deadline_of_a_long_token_does_not_outlive_its_connection_for_long() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    ends(&mut cluster, id, Some(100_000));
    cluster.hang_up(id, 1000);
    cluster.advance(secs(3_600));
    assert_eq!(cluster.node(0).poll_timeout(), None, "there are no connections");
}
