//! A connection that is a WebSocket: the steps of the script and the orders of the test, until one
//! of them or the peer cuts it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::{io::AsyncWriteExt, sync::mpsc, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        error::ProtocolError,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::{
    event::EventKind,
    serve::{Order, Over, Seat},
    socket::{self, BoxSocket},
    step::Step,
    upstream::Behind,
};

/// How long a close handshake may take, in either direction.
const CLOSE: Duration = Duration::from_secs(1);
/// How long a pong may take to be written.
const UNREAD: Duration = Duration::from_secs(10);
const PING: &[u8] = b"relink-testing";

pub(crate) struct Peer<'a> {
    ws: WebSocketStream<BoxSocket>,
    behind: Behind,
    seat: &'a Seat,
    orders: mpsc::Receiver<Order>,
}

/// What ends the steps.
enum Cut {
    /// The peer sent a close frame; tungstenite has its answer ready.
    PeerClosed(Option<CloseFrame>),
    Failed(Error),
    PeerLeft,
    Close(Option<CloseFrame>),
    Silence,
    Drop,
    Reset,
}

impl<'a> Peer<'a> {
    pub(crate) fn new(
        ws: WebSocketStream<BoxSocket>,
        behind: Behind,
        seat: &'a Seat,
        orders: mpsc::Receiver<Order>,
    ) -> Self {
        Self { ws, behind, seat, orders }
    }

    /// Does the steps, then echoes, until the connection is over.
    pub(crate) async fn follow(mut self, steps: &[Step]) -> Over {
        let mut cut = self.steps(steps).await;
        loop {
            match &cut {
                Cut::Silence => {}
                Cut::PeerClosed(frame) => self.behind.close(frame.clone()).await,
                Cut::Failed(_) | Cut::PeerLeft | Cut::Close(_) | Cut::Drop | Cut::Reset => {
                    self.behind.lose()
                }
            }
            cut = match cut {
                Cut::Silence => self.silence().await,
                Cut::PeerClosed(frame) => return self.answer_close(frame).await,
                Cut::Failed(error) => return self.fail(error).await,
                Cut::PeerLeft => {
                    return Over::polite(
                        lost("it left without a close frame"),
                        self.ws.into_inner(),
                    );
                }
                Cut::Close(frame) => return self.close(frame).await,
                Cut::Drop => return self.drop_socket().await,
                Cut::Reset => return Over::reset(EventKind::Reset),
            }
        }
    }

    async fn steps(&mut self, steps: &[Step]) -> Cut {
        for step in steps {
            if let Err(cut) = self.step(step).await {
                return cut;
            }
        }
        self.echo().await
    }

    async fn step(&mut self, step: &Step) -> Result<(), Cut> {
        match step {
            Step::Send(payload) => self.send(payload.message()).await,
            Step::Expect(payload) => self.expect(&payload.message()).await,
            Step::EchoUntil(payload) => self.echo_until(&payload.message()).await,
            Step::Echo { time } => for_a_time(*time, self.echo()).await,
            Step::Wait { time } => for_a_time(Some(*time), self.listen()).await,
            Step::Silent { time } => for_a_time(*time, self.silence()).await,
            Step::Ping {} => self.send(Message::Ping(PING.into())).await,
            Step::Close { code, reason } => Err(Cut::Close(Some(close_frame(*code, reason)))),
            Step::CloseNoCode {} => Err(Cut::Close(None)),
            Step::Drop {} => Err(Cut::Drop),
            Step::Reset {} => Err(Cut::Reset),
            // Only ever the first step, and done by then.
            Step::Accept { .. } | Step::Refuse(_) | Step::Garbage {} | Step::Blackhole {} => Ok(()),
        }
    }

    async fn echo(&mut self) -> Cut {
        loop {
            if let Err(cut) = self.echo_once(None).await {
                return cut;
            }
        }
    }

    async fn echo_until(&mut self, last: &Message) -> Result<(), Cut> {
        while !self.echo_once(Some(last)).await? {}
        Ok(())
    }

    /// Sends one message back, or passes on what the upstream says instead. Returns true, and sends
    /// nothing, if the client's message is the last one.
    async fn echo_once(&mut self, last: Option<&Message>) -> Result<bool, Cut> {
        if !self.behind.is_there() {
            let message = self.hear().await?;
            let is_last = Some(&message) == last;
            if !is_last && (message.is_text() || message.is_binary()) {
                self.send(message).await?;
            }
            return Ok(is_last);
        }
        tokio::select! {
            biased;
            Some(order) = self.orders.recv() => self.obey(order).await.map(|()| false),
            said = self.behind.next() => self.pass_on(said).await.map(|()| false),
            message = self.ws.next(), if self.behind.has_room() => {
                self.read(message).await.map(|message| Some(&message) == last)
            }
        }
    }

    async fn listen(&mut self) -> Cut {
        loop {
            if let Err(cut) = self.hear().await {
                return cut;
            }
        }
    }

    async fn expect(&mut self, wanted: &Message) -> Result<(), Cut> {
        while self.hear().await? != *wanted {}
        Ok(())
    }

    async fn silence(&mut self) -> Cut {
        self.seat.log(EventKind::Silent);
        loop {
            tokio::select! {
                biased;
                Some(order) = self.orders.recv() => if let Err(cut) = self.obey(order).await {
                    return cut;
                },
                () = socket::peer_gone(self.ws.get_mut().tcp()) => return Cut::PeerLeft,
            }
        }
    }

    /// Reads the next message, and carries out the test's orders meanwhile.
    async fn hear(&mut self) -> Result<Message, Cut> {
        loop {
            tokio::select! {
                biased;
                Some(order) = self.orders.recv() => self.obey(order).await?,
                () = self.behind.flush() => {}
                message = self.ws.next(), if self.behind.has_room() => return self.read(message).await,
            }
        }
    }

    async fn read(&mut self, message: Option<Result<Message, Error>>) -> Result<Message, Cut> {
        let message = self.take(message)?;
        if message.is_ping() {
            self.write_pong().await?;
        }
        Ok(message)
    }

    /// Nothing more is read until a pending pong is written: a client that pings and never reads is
    /// disconnected.
    async fn write_pong(&mut self) -> Result<(), Cut> {
        match timeout(UNREAD, self.ws.flush()).await {
            Ok(flushed) => flushed.map_err(Cut::Failed),
            Err(_) => Err(Cut::Close(Some(close_frame(1008, "client is not reading responses")))),
        }
    }

    fn take(&mut self, message: Option<Result<Message, Error>>) -> Result<Message, Cut> {
        let message = message.ok_or(Cut::PeerLeft)?.map_err(Cut::Failed)?;
        match &message {
            Message::Text(text) => self.seat.log(EventKind::Text(text.to_string())),
            Message::Binary(bytes) => self.seat.log(EventKind::Binary(bytes.to_vec())),
            Message::Ping(bytes) => self.seat.log(EventKind::Ping(bytes.to_vec())),
            Message::Pong(bytes) => self.seat.log(EventKind::Pong(bytes.to_vec())),
            Message::Close(frame) => return Err(Cut::PeerClosed(frame.clone())),
            // Never comes out of reading.
            Message::Frame(_) => {}
        }
        self.behind.push(&message);
        Ok(message)
    }

    /// Passes a message of the upstream to the client.
    async fn pass_on(&mut self, said: Option<Result<Message, Error>>) -> Result<(), Cut> {
        let Some(Ok(message)) = said else { return Err(Cut::Drop) };
        match &message {
            Message::Text(text) => self.seat.log(EventKind::UpstreamText(text.to_string())),
            Message::Binary(bytes) => self.seat.log(EventKind::UpstreamBinary(bytes.to_vec())),
            Message::Close(frame) => return Err(Cut::Close(frame.clone())),
            // Between the two servers.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(()),
        }
        self.send(message).await
    }

    async fn obey(&mut self, order: Order) -> Result<(), Cut> {
        match order {
            Order::Send(message) => self.send(message).await,
            Order::Close(frame) => Err(Cut::Close(Some(frame))),
            Order::Silence => Err(Cut::Silence),
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Cut> {
        self.ws.send(message).await.map_err(Cut::Failed)
    }
}

/// The ends.
impl Peer<'_> {
    async fn answer_close(mut self, frame: Option<CloseFrame>) -> Over {
        // Reading on sends the answer.
        _ = timeout(CLOSE, async {
            while self.ws.next().await.is_some_and(|read| read.is_ok()) {}
        })
        .await;
        let (code, reason) = parts(frame);
        Over::polite(EventKind::PeerClosed { code, reason }, self.ws.into_inner())
    }

    async fn close(mut self, frame: Option<CloseFrame>) -> Over {
        let handshake = async {
            self.ws.close(frame.clone()).await.map_err(Cut::Failed)?;
            loop {
                let message = self.ws.next().await;
                self.take(message)?;
            }
        };
        let answered: Result<Result<std::convert::Infallible, Cut>, _> =
            timeout(CLOSE, handshake).await;
        let answered = matches!(answered, Ok(Err(Cut::PeerClosed(_))));
        let (code, reason) = parts(frame);
        Over::polite(EventKind::Closed { code, reason, answered }, self.ws.into_inner())
    }

    /// Ends TCP at once, without a close of TLS.
    async fn drop_socket(mut self) -> Over {
        _ = self.ws.get_mut().tcp().shutdown().await;
        Over::polite(EventKind::Dropped, self.ws.into_inner())
    }

    async fn fail(mut self, error: Error) -> Over {
        use ProtocolError::ResetWithoutClosingHandshake;
        let why = error.to_string();
        if matches!(error, Error::Io(_) | Error::Protocol(ResetWithoutClosingHandshake)) {
            return Over::polite(lost(why), self.ws.into_inner());
        }
        let too_large = matches!(error, Error::Capacity(_));
        let code = if too_large { CloseCode::Size } else { CloseCode::Protocol };
        _ = timeout(CLOSE, self.ws.close(Some(CloseFrame { code, reason: "".into() }))).await;
        Over::polite(EventKind::ProtocolError { why }, self.ws.into_inner())
    }
}

/// `act` must bear being cancelled: it returns its cut at once and does nothing after it.
async fn for_a_time(time: Option<Duration>, act: impl Future<Output = Cut>) -> Result<(), Cut> {
    match time {
        Some(time) => timeout(time, act).await.map_or(Ok(()), Err),
        None => Err(act.await),
    }
}

pub(crate) fn close_frame(code: u16, reason: &str) -> CloseFrame {
    CloseFrame { code: code.into(), reason: reason.into() }
}

fn parts(frame: Option<CloseFrame>) -> (Option<u16>, String) {
    frame.map_or((None, String::new()), |frame| (Some(frame.code.into()), frame.reason.to_string()))
}

fn lost(why: impl Into<String>) -> EventKind {
    EventKind::PeerLost { why: why.into() }
}
