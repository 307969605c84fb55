//! The clients: their sessions, and the driver's half of them.

use rand_pcg::Pcg32;
use relink::session::Frame;
use relink::{CloseCode, Instant, Resume, Session, SessionAction, SessionId, SessionInput};
use relink_node::ConnectionId;
use relink_v1::RelinkV1;

use super::{Cluster, Direction, Due, Environment};

pub(crate) struct Client {
    pub(crate) session: Session<RelinkV1, Pcg32>,
    pub(crate) user: String,
    pub(crate) life: u32,
    pub(crate) transport: Option<ConnectionId>,
    /// The session that was reported to the environment.
    pub(crate) known: Option<SessionId>,
}

impl<E: Environment> Cluster<E> {
    /// Adds a client with this session and returns its number. Its addresses do not matter: the
    /// environment decides where a dial leads.
    pub fn add_session(&mut self, user: &str, session: Session<RelinkV1, Pcg32>) -> usize {
        let user = user.to_owned();
        self.clients.push(Client { session, user, life: 0, transport: None, known: None });
        self.clients.len() - 1
    }

    /// A client's session. Call [`settle`](Self::settle) after something was done with it.
    pub fn session(&mut self, client: usize) -> &mut Session<RelinkV1, Pcg32> {
        &mut self.clients[client].session
    }

    /// Passes an input to a client's session, and carries out its actions.
    pub fn tell_client(&mut self, client: usize, input: SessionInput) {
        self.clients[client].session.handle(input, self.now);
        self.settle_client(client);
    }

    /// A client's application has taken this many more messages, the oldest first.
    pub fn client_takes(&mut self, client: usize, count: u64) {
        self.clients[client].session.taken(count);
        self.settle_client(client);
    }

    /// Does as [`tell_client`](Self::tell_client) at a later time, if the client's process still
    /// runs.
    pub fn tell_client_at(&mut self, at: Instant, client: usize, input: SessionInput) {
        let life = self.clients[client].life;
        self.push(at, Due::Client { client, life, input });
    }

    /// Ends a client's process, and starts another one with this session and, if it stored one,
    /// this position to resume from. It does not connect yet.
    pub fn replace_client(
        &mut self,
        client: usize,
        session: Session<RelinkV1, Pcg32>,
        resume: Option<Resume>,
    ) {
        if let Some(id) = self.clients[client].transport.take() {
            self.client_lets_go(id, CloseCode::ABNORMAL);
        }
        let it = &mut self.clients[client];
        it.life += 1;
        it.session = session;
        it.known = resume.as_ref().map(|resume| resume.session.clone());
        if let Some(resume) = resume {
            it.session.resume_from(resume);
        }
    }

    /// Carries out the actions of the session, as a driver does.
    pub(crate) fn settle_client(&mut self, client: usize) {
        self.look_at_session(client);
        loop {
            if let Some(action) = self.clients[client].session.poll_action() {
                self.steps += 1;
                self.act(client, action);
                continue;
            }
            let it = &mut self.clients[client];
            let transport = it
                .transport
                .filter(|id| self.transports.get(id).is_some_and(|transport| transport.client_end));
            let Some(id) = transport else { return };
            let Some(frame) = it.session.poll_transmit(self.now) else { return };
            E::carry(self, id, Direction::ToNode, frame);
        }
    }

    fn act(&mut self, client: usize, action: SessionAction) {
        match action {
            SessionAction::Dial { id, .. } => E::dials(self, client, id),
            SessionAction::Drop { farewell, .. } => {
                let Some(id) = self.clients[client].transport.take() else { return };
                let code = farewell.as_ref().map_or(CloseCode::ABNORMAL, |frame| frame.code);
                E::note(self, || {
                    format!("client {client} drops transport {}, saying {farewell:?}", id.0)
                });
                E::drops(self, client, id, code);
                self.client_lets_go(id, code);
            }
            SessionAction::FetchChannelToken { channel } => {
                E::fetch_channel_token(self, client, channel)
            }
            SessionAction::Event(event) => E::told(self, client, event),
            // Clients have no provider of tokens or addresses.
            SessionAction::FetchToken { .. } | _ => {
                E::broken(self, "the session asks for a token".into())
            }
        }
    }

    /// The session may be another one now.
    fn look_at_session(&mut self, client: usize) {
        let it = &mut self.clients[client];
        let Some(Resume { session, position }) = it.session.resume() else {
            it.known = None;
            return;
        };
        if it.known.as_ref() != Some(&session) {
            it.known = Some(session.clone());
            E::session_began(self, client, session, position);
        }
    }
}

/// The frame that a side closes with.
pub(crate) const fn close_code(frame: &Frame) -> Option<CloseCode> {
    if let Frame::Close(close) = frame { Some(close.code) } else { None }
}
