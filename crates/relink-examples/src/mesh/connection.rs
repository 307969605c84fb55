//! One peer connection: `str0m`'s, with what is said about it through the signalling link.

use std::net::SocketAddr;

use relink::Instant;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcError};

use super::signal::Call;
use super::time::Time;

/// Names a peer connection at this end. A fresh one has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(super) u64);

pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) call: Call,
    /// The number of the last offer.
    pub(super) round: u32,
    /// Whether it was connected once, so that an ICE restart can mend it.
    pub(super) is_established: bool,
    /// It failed in a way that only a fresh one mends.
    pub(super) is_broken: bool,
    pub(super) wake: Option<Instant>,
    pending: Option<SdpPendingOffer>,
    /// The channels that were opened from this side.
    opened: Vec<ChannelId>,
    /// Those among them that are to be closed: `str0m` must be polled between any two changes.
    to_close: Vec<ChannelId>,
    rtc: Rtc,
    time: Time,
}

/// What came out of a connection.
pub(super) enum Happening {
    Transmit { source: SocketAddr, destination: SocketAddr, bytes: Vec<u8> },
    Event(Box<Event>),
}

impl Connection {
    /// A fresh connection, with the offer of it.
    pub(super) fn offer(
        id: ConnectionId,
        call: Call,
        labels: &[String],
        time: Time,
        now: Instant,
    ) -> (Self, Option<String>) {
        let mut connection = Self::new(id, call, 0, time, now);
        let offer = connection.open_channels(labels);
        (connection, offer)
    }

    /// A fresh connection, with the answer to the offer of it.
    pub(super) fn answer(
        id: ConnectionId,
        (call, round): (Call, u32),
        sdp: &str,
        time: Time,
        now: Instant,
    ) -> (Self, Option<String>) {
        let mut connection = Self::new(id, call, round, time, now);
        let answer = connection.accept_offer(round, sdp);
        (connection, answer)
    }

    fn new(id: ConnectionId, call: Call, round: u32, time: Time, now: Instant) -> Self {
        Self {
            id,
            call,
            round,
            is_established: false,
            is_broken: false,
            wake: None,
            pending: None,
            opened: Vec::new(),
            to_close: Vec::new(),
            rtc: Rtc::builder().build(time.std(now)),
            time,
        }
    }

    /// Opens channels with these labels, and closes the earlier ones. Returns an offer, if one is
    /// needed.
    pub(super) fn open_channels(&mut self, labels: &[String]) -> Option<String> {
        let before = std::mem::take(&mut self.opened);
        let mut changes = self.rtc.sdp_api();
        for label in labels {
            let config = ChannelConfig { label: label.clone(), ..ChannelConfig::default() };
            self.opened.push(changes.add_channel_with_config(config));
        }
        let offer = changes.apply();
        self.to_close.extend(before);
        self.say(offer)
    }

    /// The offer of an ICE restart.
    pub(super) fn restart(&mut self) -> Option<String> {
        let mut changes = self.rtc.sdp_api();
        changes.ice_restart(true);
        let offer = changes.apply();
        self.round = self.round.saturating_add(1);
        self.say(offer)
    }

    fn say(&mut self, offer: Option<(SdpOffer, SdpPendingOffer)>) -> Option<String> {
        let (offer, pending) = offer?;
        self.pending = Some(pending);
        Some(offer.to_sdp_string())
    }

    /// Returns the answer to an offer. `None` if it cannot be read; the connection is broken then.
    pub(super) fn accept_offer(&mut self, round: u32, sdp: &str) -> Option<String> {
        self.round = round;
        let offer = SdpOffer::from_sdp_string(sdp).map_err(RtcError::from);
        let answer = offer.and_then(|offer| self.rtc.sdp_api().accept_offer(offer));
        self.checked(answer).map(|answer| answer.to_sdp_string())
    }

    pub(super) fn accept_answer(&mut self, round: u32, sdp: &str) {
        let Some(pending) = self.pending.take_if(|_| round == self.round) else { return };
        let answer = SdpAnswer::from_sdp_string(sdp).map_err(RtcError::from);
        let accepted = answer.and_then(|answer| self.rtc.sdp_api().accept_answer(pending, answer));
        self.checked(accepted);
    }

    /// Adds an address of this end. Returns the candidate for the other end.
    pub(super) fn add_local(&mut self, address: SocketAddr) -> Option<String> {
        let candidate = Candidate::host(address, Protocol::Udp).ok()?;
        Some(self.rtc.add_local_candidate(candidate)?.to_sdp_string())
    }

    /// The other end can be reached there.
    pub(super) fn add_remote(&mut self, candidate: &str) {
        if let Ok(candidate) = Candidate::from_sdp_string(candidate) {
            self.rtc.add_remote_candidate(candidate);
        }
    }

    /// A datagram came in.
    pub(super) fn receive(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) {
        // Ignores what is not STUN, DTLS or SRTP.
        let Ok(contents) = bytes.try_into() else { return };
        let datagram = Receive { proto: Protocol::Udp, source, destination, contents };
        let input = Input::Receive(self.time.std(now), datagram);
        if self.rtc.accepts(&input) {
            let handled = self.rtc.handle_input(input);
            self.checked(handled);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let handled = self.rtc.handle_input(Input::Timeout(self.time.std(now)));
        self.checked(handled);
    }

    /// Whether the message was taken.
    pub(super) fn send(&mut self, channel: ChannelId, binary: bool, bytes: &[u8]) -> bool {
        let sent = self.rtc.channel(channel).map(|mut channel| channel.write(binary, bytes));
        matches!(sent, Some(Ok(true)))
    }

    /// Drains the results; call it after each change.
    pub(super) fn drain(&mut self, happenings: &mut Vec<Happening>) {
        loop {
            let output = self.rtc.poll_output();
            match self.checked(output) {
                Some(Output::Transmit(datagram)) => happenings.push(Happening::Transmit {
                    source: datagram.source,
                    destination: datagram.destination,
                    bytes: datagram.contents.to_vec(),
                }),
                Some(Output::Event(event)) => happenings.push(Happening::Event(Box::new(event))),
                Some(Output::Timeout(at)) => {
                    self.wake = Some(self.time.ours(at));
                    let Some(channel) = self.to_close.pop() else { break };
                    self.rtc.direct_api().close_data_channel(channel);
                }
                None => break self.wake = None,
            }
        }
    }

    fn checked<T>(&mut self, result: Result<T, RtcError>) -> Option<T> {
        self.is_broken |= result.is_err() || !self.rtc.is_alive();
        result.ok()
    }
}
