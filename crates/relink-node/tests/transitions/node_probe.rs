//! A node with one connection and one channel, driven by hand: it answers the store as the table
//! says, and records what the node does.

use std::fmt::Debug;
use std::time::Duration;

use rand_pcg::Pcg32;
use relink::rand_core::SeedableRng;
use relink::session::Member;
use relink::{Channel, CloseCode, Instant, Position, SessionId};
use relink_node::{
    AuthorizationId, ConnectionId, DeliveryId, Node, NodeAction, NodeConfig, NodeEvent, NodeInput,
    Publication, StoreEvent, StoreRequest, StoreRequestId, StoreResponse, Stream,
};
use relink_v1::{ClientFrame, Codec, Encoding, ServerFrame, Welcome};

pub(crate) const ID: ConnectionId = ConnectionId(1);

pub(crate) fn lobby() -> Channel {
    "lobby".into()
}

pub(crate) fn session() -> SessionId {
    "session".into()
}

pub(crate) const fn at(epoch: u32, offset: u64) -> Position {
    Position::new(epoch, offset)
}

pub(crate) fn publication(offset: u64) -> Publication {
    Publication { offset, message: "text".into() }
}

pub(crate) fn member(join: &str, bytes: usize) -> Member {
    Member { user: "bob".into(), join: join.into(), info: Some("x".repeat(bytes).into()) }
}

pub(crate) struct NodeProbe {
    pub(crate) node: Node<Pcg32>,
    pub(crate) now: Instant,
    /// The socket accepts no more bytes.
    pub(crate) is_stuck: bool,
    pub(crate) is_identifying: bool,
    pub(crate) is_draining: bool,
    handling: Option<DeliveryId>,
    asked: Vec<(StoreRequestId, StoreRequest)>,
    authorizing: Vec<AuthorizationId>,
    session: Option<SessionId>,
    words: Vec<String>,
}

impl NodeProbe {
    /// With a connection that has sent nothing yet.
    pub(crate) fn new(config: NodeConfig) -> Self {
        let mut probe = Self {
            node: Node::new(config, Pcg32::seed_from_u64(1)).expect("a valid configuration"),
            now: Instant::from_origin(Duration::from_secs(1000)),
            is_stuck: false,
            is_identifying: false,
            is_draining: false,
            handling: None,
            asked: Vec::new(),
            authorizing: Vec::new(),
            session: None,
            words: Vec::new(),
        };
        probe.give(NodeInput::Opened { id: ID, user: None });
        probe
    }

    /// With a connection that was welcomed, at the beginning of its own stream.
    pub(crate) fn welcome(config: NodeConfig) -> Self {
        let mut probe = Self::new(config);
        probe.hello(None);
        probe.identified();
        assert!(probe.answer(|it| matches!(it, StoreRequest::Create { .. }), new_session(0)));
        assert!(probe.answer(is_read, read(at(1, 0), Some(&[]))));
        probe
    }

    pub(crate) fn hello(&mut self, resume: Option<Position>) {
        let resume = resume.map(|position| relink::Resume { session: session(), position });
        self.say(ClientFrame::Hello { token: Some("ada".into()), resume, max_message: None });
    }

    pub(crate) fn identified(&mut self) -> bool {
        let was = std::mem::take(&mut self.is_identifying);
        if was {
            self.give(NodeInput::Identified { id: ID, result: Ok("ada".into()) });
        }
        was
    }

    pub(crate) fn say(&mut self, frame: ClientFrame) {
        self.give(NodeInput::Message { id: ID, message: frame.encode(Encoding::Json) });
    }

    /// The application handles a message, without effects.
    pub(crate) fn handled(&mut self) -> bool {
        let Some(handling) = self.handling.take() else { return false };
        self.give(NodeInput::Handled { handling, result: Ok(Vec::new()) });
        true
    }

    pub(crate) fn give(&mut self, input: NodeInput) {
        self.is_draining |= input == NodeInput::Drain;
        self.node.handle(input, self.now);
        self.settle();
    }

    pub(crate) fn news(&mut self, event: StoreEvent) -> bool {
        self.give(NodeInput::StoreEvent(event));
        true
    }

    pub(crate) fn published(&mut self, stream: Stream, position: Position) -> bool {
        let (epoch, publication) = (position.epoch, publication(position.offset));
        self.news(StoreEvent::Published { stream, epoch, publication })
    }

    pub(crate) fn authorize(&mut self, result: Result<(), relink::session::Problem>) -> bool {
        let Some(request) = self.authorizing.pop() else { return false };
        self.give(NodeInput::Authorized { request, result });
        true
    }

    /// Answers the last request of this kind.
    pub(crate) fn answer(
        &mut self,
        kind: impl Fn(&StoreRequest) -> bool,
        answer: Result<StoreResponse, String>,
    ) -> bool {
        let Some(index) = self.asked.iter().rposition(|(_, request)| kind(request)) else {
            return false;
        };
        let (question, _) = self.asked.remove(index);
        self.give(NodeInput::Answered { question, answer });
        true
    }

    pub(crate) fn is_asked(&self, kind: impl Fn(&StoreRequest) -> bool) -> bool {
        self.asked.iter().any(|(_, request)| kind(request))
    }

    /// Lets time pass, and passes every timeout when it is due.
    pub(crate) fn wait(&mut self, time: Duration) -> bool {
        let end = self.now + time;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.give(NodeInput::Timeout);
        }
        self.now = end;
        true
    }

    pub(crate) fn unstick(&mut self) -> bool {
        let was = std::mem::take(&mut self.is_stuck);
        self.settle();
        was
    }

    pub(crate) fn close(&mut self, code: CloseCode) -> bool {
        self.give(NodeInput::Closed { id: ID, code });
        true
    }

    /// The session that the node drew.
    pub(crate) fn own_stream(&self) -> Stream {
        Stream::Session(self.session.clone().unwrap_or_else(session))
    }

    pub(crate) fn take_words(&mut self) -> String {
        std::mem::take(&mut self.words).join(", ")
    }

    fn settle(&mut self) {
        loop {
            while let Some(action) = self.node.poll_action() {
                self.act(action);
            }
            let message = if self.is_stuck { None } else { self.node.poll_transmit(ID) };
            match message {
                Some(message) => {
                    let (frame, _) = ServerFrame::decode(&message).expect("a frame");
                    self.words.push(sent(&frame));
                }
                None => match self.node.poll_action() {
                    Some(action) => self.act(action),
                    None => return,
                },
            }
        }
    }

    fn act(&mut self, action: NodeAction) {
        let word = match action {
            NodeAction::Ready { .. } => return,
            NodeAction::Identify { .. } => {
                self.is_identifying = true;
                "ask whose token it is".into()
            }
            NodeAction::Authorize { request, .. } => {
                self.authorizing.push(request);
                "ask for permission".into()
            }
            NodeAction::Ask { question, what } => {
                if let StoreRequest::Create { session, .. } = &what {
                    self.session = Some(session.clone());
                }
                let word = format!("ask the store: {}", asked(&what));
                self.asked.push((question, what));
                word
            }
            NodeAction::Watch { .. } => "watch".into(),
            NodeAction::Unwatch { .. } => "unwatch".into(),
            NodeAction::Handle { handling, .. } => {
                self.handling = Some(handling);
                "hand it over".into()
            }
            NodeAction::Close { frame, .. } => format!("close with {}", frame.code.0),
            NodeAction::Released { .. } => "free its place".into(),
            NodeAction::Event(NodeEvent::MemberChanged { change, .. }) => {
                format!("tell {}", name(&change))
            }
            NodeAction::Event(event) => format!("tell {}", name(&event)),
            _ => name(&action),
        };
        self.words.push(word);
    }
}

fn asked(request: &StoreRequest) -> String {
    match request {
        StoreRequest::Read { after: None, limit: 1, .. } => "where the stream is".into(),
        StoreRequest::Read { after: Some(after), .. } => {
            format!("read after {}:{}", after.epoch, after.offset)
        }
        _ => name(request),
    }
}

fn sent(frame: &ServerFrame) -> String {
    match frame {
        ServerFrame::Subscribed { position, recovered, .. } => {
            let recovered = if *recovered { "" } else { ", messages lost" };
            format!("send subscribed at {}:{}{recovered}", position.epoch, position.offset)
        }
        ServerFrame::Unsubscribed { problem, .. } => {
            let why = problem.as_ref().map(|problem| format!(" ({})", problem.name));
            format!("send unsubscribed{}", why.unwrap_or_default())
        }
        ServerFrame::Publication { offset, .. } => format!("send publication {offset}"),
        ServerFrame::Members { members, more, .. } => {
            let more = if *more { ", and more" } else { "" };
            format!("send {} members{more}", members.len())
        }
        ServerFrame::MemberChanged { change, .. } => format!("send {}", name(change)),
        ServerFrame::Welcome(Welcome { resumed, refused, .. }) => {
            let resumed = if *resumed { ", resumed" } else { "" };
            let refused = if refused.is_some() { ", resume refused" } else { "" };
            format!("send welcome{resumed}{refused}")
        }
        ServerFrame::Error(problem) => format!("send error ({})", problem.name),
        _ => format!("send {}", name(frame)),
    }
}

/// The name of a variant, in words.
fn name(value: &impl Debug) -> String {
    let debug = format!("{value:?}");
    let name = debug.split([' ', '(', '{']).next().expect("a first part");
    let mut words = String::new();
    for (index, letter) in name.char_indices() {
        if index > 0 && letter.is_uppercase() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

pub(crate) fn is_read(request: &StoreRequest) -> bool {
    matches!(request, StoreRequest::Read { .. })
}

pub(crate) fn read(top: Position, missed: Option<&[u64]>) -> Result<StoreResponse, String> {
    let missed = missed.map(|missed| missed.iter().map(|offset| publication(*offset)).collect());
    Ok(StoreResponse::Read { top, missed })
}

pub(crate) fn new_session(generation: u64) -> Result<StoreResponse, String> {
    let (received, rejected, seats) = (0, Vec::new(), Vec::new());
    Ok(StoreResponse::Session { user: "ada".into(), received, rejected, generation, seats })
}

pub(crate) fn failed() -> Result<StoreResponse, String> {
    Err("down".into())
}
