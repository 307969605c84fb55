//! Arbitrary bytes through the wire of the drivers.

use arbitrary::{Result, Unstructured};
use relink::session::Frame;
use relink::{Address, CloseFrame, Message};
use relink_driver::{Wire, WireEvent, WireLimits};

/// Small enough that fuzzing meets them.
const LIMIT: usize = 600;

/// Whatever a server sends, in whatever chunks: nothing panics, nothing exceeds the limits, an
/// error is the last word, and the chunks make no difference.
///
/// # Panics
///
/// If one of that does not hold.
pub fn wire(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let _ = run(&mut bytes);
}

fn run(bytes: &mut Unstructured<'_>) -> Result<()> {
    let is_open: bool = bytes.arbitrary()?;
    let (mut whole, mut chunked) = (new(is_open), new(is_open));
    let stream: Vec<u8> = bytes.arbitrary()?;

    whole.receive(&stream);
    whole.receive_end();
    let expected = drain(&mut whole);

    let mut heard = Vec::new();
    let mut rest = stream.as_slice();
    while !rest.is_empty() && !ends(&heard) {
        let (chunk, after) = rest.split_at(bytes.int_in_range(1..=rest.len())?);
        rest = after;
        chunked.receive(chunk);
        heard.extend(drain(&mut chunked));
        talk(&mut chunked, bytes)?;
    }
    if !ends(&heard) {
        chunked.receive_end();
        heard.extend(drain(&mut chunked));
    }
    // During the handshake tungstenite takes many small chunks for an attack, and may say so.
    assert!(
        heard == expected || !is_open,
        "in other chunks the same bytes say {heard:?}, not {expected:?}"
    );
    Ok(())
}

fn new(is_open: bool) -> Wire {
    let limits = WireLimits::new(LIMIT, LIMIT);
    if is_open {
        return Wire::opened(limits);
    }
    let (_, wire) =
        Wire::dial(&Address::from("ws://example.org/"), None, limits).expect("a plain address");
    wire
}

/// Everything that can be read now, in words; the last one may say why nothing more can.
fn drain(wire: &mut Wire) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        match wire.poll_event() {
            Ok(Some(WireEvent::Frame(frame))) => {
                assert!(size(&frame) <= LIMIT, "a frame beyond the limit: {frame:?}");
                heard.push(format!("{frame:?}"));
            }
            Ok(Some(event)) => heard.push(format!("{event:?}")),
            Ok(None) => return heard,
            Err(error) => {
                heard.push(format!("end: {error}"));
                return heard;
            }
        }
    }
}

fn ends(heard: &[String]) -> bool {
    heard.last().is_some_and(|last| last.starts_with("end: "))
}

/// What this side may do meanwhile; none of it may change what the peer said.
fn talk(wire: &mut Wire, bytes: &mut Unstructured<'_>) -> Result<()> {
    if bytes.ratio(1, 4)? {
        wire.send(Frame::Message(Message::from("a word of ours")));
    }
    let written = wire.outgoing().len();
    if bytes.ratio(1, 2)? {
        wire.wrote(written);
    }
    Ok(())
}

fn size(frame: &Frame) -> usize {
    match frame {
        Frame::Message(message) => message.len(),
        Frame::Ping(payload) | Frame::Pong(payload) => payload.len(),
        Frame::Close(CloseFrame { reason, .. }) => reason.len(),
    }
}
