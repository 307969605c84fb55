//! The server: correct, confused, or hostile.

use std::collections::BTreeMap;

use relink::Position;
use relink::protocol::Rejection;
use relink::session::{MemberChange, Problem};
use relink_v1::{ServerFrame, Welcome};

use super::steps::Step;
use super::{SessionModel, name};
use relink_sim::v1::member;

/// One session at the server.
#[derive(Debug, Default)]
pub(super) struct Server {
    /// The messages that came over the wire, by serial from 1, and the highest serial that was
    /// accepted.
    pub(super) wire: Vec<String>,
    pub(super) received: u64,
    /// The highest serial that was acknowledged.
    pub(super) acked: u64,
    /// The last offset of the session's own stream and of each channel.
    pub(super) offsets: BTreeMap<Option<u8>, u64>,
}

impl SessionModel {
    /// Steps of the server. Before its welcome it sends nothing else, unless it is confused.
    pub(super) fn serve(&mut self, step: Step) {
        match step {
            Step::Welcome if !self.welcomed => {
                self.welcomed = true;
                let known = self.sim.machine().resume().filter(|_| self.sessions > 0);
                let asked =
                    known.filter(|resume| resume.session.expose() == format!("s{}", self.sessions));
                let received = self.server.received;
                if let Some(resume) = asked {
                    self.next_serial = received;
                    self.server.offsets.insert(None, resume.position.offset);
                    self.server.acked = received;
                    let session = resume.session.expose().to_owned();
                    self.say(welcome(&session, true, received, resume.position.offset));
                } else {
                    self.fresh();
                }
            }
            Step::Forget if !self.welcomed => {
                self.welcomed = true;
                self.fresh();
            }
            Step::WelcomeAnything { resumed, received, offset } => {
                self.welcomed = true;
                let session = format!("s{}", self.sessions);
                self.say(welcome(&session, resumed, received.into(), offset.into()));
                // The two sides disagree from now on; what follows must not break anything.
                self.server = Server::default();
                self.said_hello = false;
            }
            _ if !self.welcomed => {}
            Step::Ack { behind } => {
                let serial = self.server.received.saturating_sub(behind.into());
                self.server.acked = self.server.acked.max(serial);
                self.say(ServerFrame::Ack { serial });
            }
            Step::Reject => {
                let serial = self.server.acked + 1;
                if serial <= self.server.received {
                    self.server.acked = serial;
                    let problem = Problem::new(Problem::NOT_HANDLED, "");
                    self.say(ServerFrame::Rejected(Rejection { serial, problem }));
                }
            }
            Step::Answer { channel } => {
                if self.subscribed.contains(&channel) {
                    let since = self
                        .sim
                        .machine()
                        .position(&name(channel))
                        .map_or(0, |position| position.offset);
                    self.server.offsets.insert(Some(channel), since);
                    let position = Position::new(1, since);
                    self.say(ServerFrame::Subscribed {
                        channel: name(channel),
                        position,
                        recovered: true,
                    });
                }
            }
            Step::Refuse { channel, for_now } => {
                let problem =
                    if for_now { Problem::UNAVAILABLE } else { Problem::CHANNEL_NOT_AUTHORIZED };
                self.subscribed.remove(&channel);
                let problem = Some(Problem::new(problem, ""));
                self.say(ServerFrame::Unsubscribed { channel: name(channel), problem });
            }
            Step::Publish { channel } => self.publish(channel, 1),
            Step::Repeat { channel } => self.publish(channel, 0),
            Step::Skip { channel } => self.publish(channel, 2),
            Step::Members { channel, users } => {
                let users = (0..4).filter(|user| users & (1 << user) != 0);
                let members = users.map(|user| member(&user.to_string(), "")).collect();
                self.say(ServerFrame::Members { channel: name(channel), members, more: false });
            }
            Step::Joined { channel, user } => {
                let member = member(&user.to_string(), if user == 0 { "" } else { "x" });
                self.say(ServerFrame::MemberChanged {
                    channel: name(channel),
                    change: MemberChange::Joined(member),
                });
            }
            Step::Left { channel, user } => {
                self.say(ServerFrame::MemberChanged {
                    channel: name(channel),
                    change: MemberChange::Left(member(&user.to_string(), "")),
                });
            }
            Step::AckAnything { serial } => {
                let serial = serial.min((1 << 53) - 1);
                self.server.acked = self.server.received;
                self.say(ServerFrame::Ack { serial });
            }
            Step::CountAnything { sent } => {
                self.say(ServerFrame::HeartbeatAck { nonce: 1, sent: sent.into() });
            }
            other => assert!(
                matches!(other, Step::Welcome | Step::Forget),
                "{other:?} is done elsewhere"
            ),
        }
    }

    pub(super) fn fresh(&mut self) {
        self.sessions += 1;
        self.next_serial = 0;
        self.server = Server::default();
        self.server.offsets.insert(None, 0);
        self.say(welcome(&format!("s{}", self.sessions), false, 0, 0));
    }

    pub(super) fn publish(&mut self, channel: Option<u8>, step: u64) {
        let Some(offset) = self.server.offsets.get_mut(&channel) else { return };
        *offset = (*offset + step).max(1);
        let offset = *offset;
        self.say(ServerFrame::Publication {
            channel: channel.map(name),
            offset,
            payload: offset.to_string().into(),
        });
    }
}

pub(super) fn welcome(session: &str, resumed: bool, received: u64, offset: u64) -> ServerFrame {
    ServerFrame::Welcome(Welcome {
        session: session.into(),
        resumed,
        refused: None,
        received,
        rejected: Vec::new(),
        position: Position::new(1, offset),
        max_message: None,
    })
}
