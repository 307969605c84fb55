//! Messages through both ends of a compressed WebSocket, and arbitrary bytes into one.

use arbitrary::{Result, Unstructured};
use relink_wire::{
    ClientHandshake, DeflateConfig, Error, Frame, Limits, ServerHandshake, WebSocket,
};

/// Small enough that fuzzing meets it, and large enough that the ratio counts.
const LIMIT: usize = 100 << 10;
/// A longer frame says nothing new.
const MAX_FRAME: usize = 4 << 10;

/// Whatever both ends agree on: messages come as they were, in any chunks and directions, with
/// control frames between; nothing exceeds the limits; and arbitrary bytes are messages within the
/// limits, or an error, the same in any chunks.
///
/// # Panics
///
/// If that does not hold.
pub fn deflate(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let _ = run(&mut bytes);
}

fn run(bytes: &mut Unstructured<'_>) -> Result<()> {
    let ratio = bytes.arbitrary::<bool>()?.then_some(bytes.int_in_range(20..=300)?);
    let (here, there) = (config(ratio, bytes)?, config(ratio, bytes)?);
    let Some((mut client, mut server)) = connect(here, there) else { return Ok(()) };
    let is_hostile = bytes.arbitrary()?;
    while !bytes.is_empty() {
        let is_client = bytes.arbitrary()?;
        let (from, to) = match is_client {
            true => (&mut client, &mut server),
            false => (&mut server, &mut client),
        };
        if is_hostile && bytes.ratio(1, 4)? {
            return break_in((here, there), is_client, bytes);
        }
        let message = message(bytes)?;
        let size = payload(&message).len();
        from.send(&message).expect("it may be sent");
        from.send(&Frame::Ping("between".into())).expect("it may be sent");
        let (heard, failed) = hear(to, &take(from), bytes)?;
        if let Some(error) = failed {
            let is_too_large = matches!(error, Error::TooLarge { .. }) && size > LIMIT;
            assert!(is_too_large && heard.is_empty(), "{error} for {size} bytes, after {heard:?}");
            return Ok(());
        }
        assert!(heard.first() == Some(&message), "{size} bytes came as {heard:?}");
        assert_eq!(heard.get(1..), Some(&[Frame::Ping("between".into())][..]));
        // The pong.
        assert_eq!(hear(from, &take(to), bytes)?, (vec![Frame::Pong("between".into())], None));
        if bytes.ratio(1, 8)? {
            client.shrink(0);
            server.shrink(0);
        }
    }
    Ok(())
}

fn config(max_ratio: Option<u32>, bytes: &mut Unstructured<'_>) -> Result<DeflateConfig> {
    Ok(DeflateConfig::default()
        .with_context_takeover(bytes.arbitrary()?)
        .with_peer_context_takeover(bytes.arbitrary()?)
        .with_window_bits(bytes.int_in_range(9..=15)?)
        .with_peer_window_bits(bytes.int_in_range(9..=15)?)
        .with_level(bytes.int_in_range(1..=9)?)
        .with_min_size(bytes.int_in_range(1..=100)?)
        .with_max_ratio(max_ratio))
}

/// Both ends, after their handshake; `None` if the client refuses what the server has answered.
fn connect(here: DeflateConfig, there: DeflateConfig) -> Option<(WebSocket, WebSocket)> {
    let limits = Limits::new(LIMIT, LIMIT + 1000);
    let mut request = http::Request::get("ws://peer/").body(()).expect("a plain address");
    request.extensions_mut().insert(here);
    let mut asking = ClientHandshake::new(&request).expect("a plain request");
    let mut asked = ServerHandshake::new(4000);
    asked.input().extend(asking.output().bytes());
    let sent = asking.output().len();
    asking.output().wrote(sent);
    let request = asked.poll_request().expect("a request").expect("a whole one");
    let mut answer = ServerHandshake::accept(&request).expect("a plain request");
    let agreed = there.accept(request.headers(), answer.headers_mut()).expect("an offer");
    asking.check(&answer).ok()?;
    let mut server = asked.into_websocket(&answer, limits).with_deflate(agreed);
    take(&mut server);
    Some((asking.into_websocket(limits), server))
}

/// A message of words that come again, of one byte, or of anything.
fn message(bytes: &mut Unstructured<'_>) -> Result<Frame> {
    let length = match bytes.int_in_range(0..=9)? {
        0 => bytes.int_in_range(LIMIT - 2..=LIMIT + 2)?,
        1 => bytes.int_in_range(0..=LIMIT)?,
        _ => bytes.int_in_range(0..=2000)?,
    };
    let word: Vec<u8> = bytes.arbitrary()?;
    let is_text = bytes.arbitrary()? && std::str::from_utf8(&word).is_ok();
    let words = word.iter().copied().cycle().take(if is_text {
        length - length % word.len().max(1)
    } else {
        length
    });
    let payload: Vec<u8> = words.collect();
    Ok(match String::from_utf8(payload) {
        Ok(text) if is_text => Frame::text(text),
        Ok(text) => Frame::binary(text),
        Err(binary) => Frame::binary(binary.into_bytes()),
    })
}

fn payload(frame: &Frame) -> &[u8] {
    match frame {
        Frame::Text(text) => text.as_bytes(),
        Frame::Binary(bytes) | Frame::Ping(bytes) | Frame::Pong(bytes) => bytes,
        Frame::Close(_) => &[],
    }
}

fn take(socket: &mut WebSocket) -> Vec<u8> {
    let bytes = socket.output().bytes().to_vec();
    socket.output().wrote(bytes.len());
    bytes
}

/// What a socket reads of these bytes, in chunks.
fn hear(
    socket: &mut WebSocket,
    mut stream: &[u8],
    bytes: &mut Unstructured<'_>,
) -> Result<(Vec<Frame>, Option<Error>)> {
    let mut heard = Vec::new();
    while !stream.is_empty() {
        let most = stream.len();
        let chunk = if bytes.is_empty() { most } else { bytes.int_in_range(1..=most)? };
        let (chunk, rest) = stream.split_at(chunk);
        stream = rest;
        socket.input().extend(chunk);
        loop {
            match socket.poll_frame() {
                Ok(Some(frame)) => {
                    assert!(payload(&frame).len() <= LIMIT, "a message beyond the limit");
                    heard.push(frame);
                }
                Ok(None) => break,
                Err(error) => return Ok((heard, Some(error))),
            }
        }
    }
    Ok((heard, None))
}

/// Frames that no compressor has made, or that were changed on their way.
fn break_in(
    (here, there): (DeflateConfig, DeflateConfig),
    is_client: bool,
    bytes: &mut Unstructured<'_>,
) -> Result<()> {
    let mut stream = Vec::new();
    for _ in 0..bytes.int_in_range(1..=6)? {
        match bytes.int_in_range(0..=3)? {
            0 => stream.extend(compressed((here, there), is_client, bytes)?),
            _ => put_frame(&mut stream, is_client, bytes)?,
        }
    }
    if bytes.ratio(1, 2)? && !stream.is_empty() {
        let at = bytes.choose_index(stream.len())?;
        stream[at] ^= bytes.arbitrary::<u8>()?;
    }
    let listen = |bytes: &mut Unstructured<'_>| {
        let (mut client, mut server) = connect(here, there).expect("it was possible before");
        hear(if is_client { &mut server } else { &mut client }, &stream, bytes)
    };
    let (whole, failed) = listen(&mut Unstructured::new(&[]))?;
    let (chunked, failed_chunked) = listen(bytes)?;
    assert_eq!(whole, chunked, "in other chunks the same bytes say something else");
    // A message may be wrong in several ways, and which is found first depends on the chunks.
    assert_eq!(failed.is_some(), failed_chunked.is_some(), "{failed:?}, {failed_chunked:?}");
    Ok(())
}

/// The frame of a message as it should be.
fn compressed(
    (here, there): (DeflateConfig, DeflateConfig),
    is_client: bool,
    bytes: &mut Unstructured<'_>,
) -> Result<Vec<u8>> {
    let (mut client, mut server) = connect(here, there).expect("it was possible before");
    let from = if is_client { &mut client } else { &mut server };
    from.send(&message(bytes)?).expect("it may be sent");
    Ok(take(from))
}

fn put_frame(stream: &mut Vec<u8>, is_client: bool, bytes: &mut Unstructured<'_>) -> Result<()> {
    let first = *bytes.choose(&[0xc1_u8, 0xc2, 0x41, 0x42, 0x00, 0x80, 0x81, 0x01, 0x89, 0xc0])?;
    let payload: Vec<u8> = bytes.arbitrary()?;
    let length = payload.len().min(if first & 8 == 0 { MAX_FRAME } else { 125 });
    let mask = if is_client { 0x80 } else { 0 };
    stream.push(first);
    match u8::try_from(length) {
        Ok(length @ 0..126) => stream.push(length | mask),
        _ => {
            stream.push(126 | mask);
            stream.extend((length as u16).to_be_bytes());
        }
    }
    if is_client {
        stream.extend([0; 4]);
    }
    stream.extend(&payload[..length]);
    Ok(())
}
