//! RFC 7692, section by section.

#![cfg(feature = "deflate")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use proptest::prelude::*;
use relink_wire::{
    ClientHandshake, DeflateConfig, Error, Frame, Limits, ProtocolError, Role, ServerHandshake,
    WebSocket,
};

/// A client and a server that want this, after their handshake; and what they agreed on.
fn agreed(client: DeflateConfig, server: DeflateConfig) -> (WebSocket, WebSocket, String) {
    let limits = Limits::new(1 << 20, 1 << 20);
    let mut asking = ClientHandshake::new(&request(client)).unwrap();
    let mut asked = ServerHandshake::new(16 << 10);
    asked.input().extend(asking.output().bytes());
    let sent = asking.output().len();
    asking.output().wrote(sent);
    let request = asked.poll_request().unwrap().unwrap();
    let mut answer = ServerHandshake::accept(&request).unwrap();
    let deflate = server.accept(request.headers(), answer.headers_mut()).unwrap();
    let mut there = asked.into_websocket(&answer, limits).with_deflate(deflate);
    carry(&mut there, asking.input());
    let answer = asking.poll_answer().unwrap().unwrap();
    asking.check(&answer).unwrap();
    let extension = answer.headers()["sec-websocket-extensions"].to_str().unwrap().to_owned();
    (asking.into_websocket(limits), there, extension)
}

/// A request that offers this.
fn request(config: DeflateConfig) -> Request<()> {
    let mut request = Request::get("ws://h/").body(()).unwrap();
    request.extensions_mut().insert(config);
    request
}

fn carry(from: &mut WebSocket, to: &mut relink_wire::Input) -> usize {
    let bytes = from.output().bytes();
    to.extend(bytes);
    let count = bytes.len();
    from.output().wrote(count);
    count
}

/// How many bytes a message takes from one to the other, where it has to come as it was.
fn pass(from: &mut WebSocket, to: &mut WebSocket, message: &Frame) -> usize {
    from.send(message).unwrap();
    let count = carry(from, to.input());
    assert_eq!(to.poll_frame().unwrap().as_ref(), Some(message));
    count
}

fn takeover() -> DeflateConfig {
    DeflateConfig::default().with_context_takeover(true).with_peer_context_takeover(true)
}

/// The same, as small as it can be made, and whatever the ratio.
fn boundless() -> DeflateConfig {
    takeover().with_level(9).with_max_ratio(None)
}

fn client() -> WebSocket {
    let mut answer = HeaderMap::new();
    let mut request = HeaderMap::new();
    request.insert("sec-websocket-extensions", "permessage-deflate".parse().unwrap());
    let deflate = takeover().accept(&request, &mut answer).unwrap();
    WebSocket::new(Role::Client, Limits::new(1000, 1000)).with_deflate(deflate)
}

fn hear(socket: &mut WebSocket, bytes: &[u8]) -> Result<Option<Frame>, Error> {
    socket.input().extend(bytes);
    socket.poll_frame()
}

#[test]
fn messages_pass_both_ways_and_context_makes_those_that_are_alike_smaller() {
    for (config, is_smaller) in [(DeflateConfig::default(), false), (takeover(), true)] {
        let (mut client, mut server, _) = agreed(config, config.with_level(9));
        let text: String = (0..100).map(|number| format!("{{\"number\":{number}}},")).collect();
        let message = Frame::text(text.as_str());
        let first = pass(&mut client, &mut server, &message);
        assert!(first < text.len() / 2, "{first}");
        let second = pass(&mut client, &mut server, &message);
        assert_eq!(second < first / 4, is_smaller, "{first}, {second}");
        pass(&mut server, &mut client, &message);
        client.shrink(0);
        server.shrink(0);
        pass(&mut client, &mut server, &message);
        let same = pass(&mut server, &mut client, &Frame::binary(vec![7; 1 << 20]));
        assert!(same > 1 << 20, "what the peer would take for a bomb goes as it is: {same}");
        pass(&mut server, &mut client, &message);
    }
}

#[test]
fn what_is_short_or_does_not_shrink_goes_as_it_is() {
    let (mut client, mut server, _) = agreed(DeflateConfig::default(), DeflateConfig::default());
    for message in [Frame::text("short"), Frame::text("")] {
        client.send(&message).unwrap();
        assert_eq!(client.output().bytes()[0], 0x81);
        carry(&mut client, server.input());
        assert_eq!(server.poll_frame(), Ok(Some(message)));
    }
    let mut seed = 1_u32;
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    });
    let noise: Vec<u8> = noise.take(300).collect();
    client.send(&Frame::binary(noise)).unwrap();
    assert_eq!(client.output().bytes()[0], 0x82);
}

// Section 7.2.3: the RFC's examples.

#[test]
fn the_examples_of_the_rfc_are_read() {
    let hello = Ok(Some(Frame::text("Hello")));
    let one = [0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(hear(&mut client(), &one), hello);
    // In two frames.
    let two = [0x41, 0x03, 0xf2, 0x48, 0xcd, 0x80, 0x04, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(hear(&mut client(), &two), hello);
    // With the window of the first message.
    let mut socket = client();
    assert_eq!(hear(&mut socket, &one), hello);
    assert_eq!(hear(&mut socket, &[0xc1, 0x05, 0xf2, 0x00, 0x11, 0x00, 0x00]), hello);
    // Without compression, with a final block, in two blocks.
    let stored = [0xc1, 0x0b, 0, 5, 0, 0xfa, 0xff, b'H', b'e', b'l', b'l', b'o', 0];
    assert_eq!(hear(&mut client(), &stored), hello);
    let last = [0xc1, 0x08, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    assert_eq!(hear(&mut client(), &last), hello);
    let blocks = [0xc1, 13, 0xf2, 0x48, 5, 0, 0, 0, 0xff, 0xff, 0xca, 0xc9, 0xc9, 7, 0];
    assert_eq!(hear(&mut client(), &blocks), hello);
    // An empty one, and one byte at a time with a ping between.
    assert_eq!(hear(&mut client(), &[0xc1, 1, 0]), Ok(Some(Frame::text(""))));
    let mut socket = client();
    let bytes = [&two[..5], &[0x89, 0], &two[5..]].concat();
    let heard: Vec<_> =
        bytes.iter().filter_map(|byte| hear(&mut socket, &[*byte]).unwrap()).collect();
    assert_eq!(heard, [Frame::Ping(Bytes::new()), Frame::text("Hello")]);
}

// Section 6: the bit.

#[test]
fn the_bit_belongs_to_the_first_frame_of_a_message_alone() {
    let reserved = Err(ProtocolError::ReservedBits.into());
    for bytes in [&[0xc0, 0][..], &[0xc9, 0], &[0xe1, 0], &[0xa1, 0], &[0x41, 0, 0xc0, 0]] {
        assert_eq!(hear(&mut client(), bytes), reserved, "{bytes:x?}");
    }
    let mut plain = WebSocket::new(Role::Client, Limits::default());
    assert_eq!(hear(&mut plain, &[0xc1, 1, 0]), reserved);
}

// What hurts.

#[test]
fn a_bomb_and_nonsense_fail_the_connection() {
    let limit = 1 << 20;
    for is_client in [true, false] {
        let (client, server, _) = agreed(boundless(), boundless());
        let (mut from, mut to) = if is_client { (client, server) } else { (server, client) };
        pass(&mut from, &mut to, &Frame::binary(vec![0; limit]));
        from.send(&Frame::binary(vec![0; limit + 1])).unwrap();
        carry(&mut from, to.input());
        let error = to.poll_frame().unwrap_err();
        assert_eq!(error, Error::TooLarge { size: limit as u64 + 1, limit });
        assert_eq!(error.close_code(), Some(1009));
    }
    let error = hear(&mut client(), &[0xc1, 2, 0xff, 0xff]).unwrap_err();
    assert_eq!((error.close_code(), error), (Some(1007), Error::NotDeflate));
    // Text is checked as it comes out.
    let bad = [0xc1, 7, 0, 1, 0, 0xfe, 0xff, 0xff, 0];
    assert_eq!(hear(&mut client(), &bad), Err(Error::NotUtf8));
}

#[test]
fn a_message_that_grows_beyond_the_ratio_is_a_bomb_in_any_pieces() {
    for (size, is_bomb) in [(64 << 10, false), (200 << 10, true)] {
        for chunk in [1, 100, usize::MAX] {
            let (mut client, _, _) = agreed(boundless(), boundless());
            let (_, mut server, _) = agreed(takeover(), takeover());
            client.send(&Frame::binary(vec![0; size])).unwrap();
            let bytes = client.output().bytes().to_vec();
            let mut heard = Ok(None);
            for chunk in bytes.chunks(chunk.min(bytes.len())) {
                assert_eq!(heard, Ok(None), "before the end");
                heard = hear(&mut server, chunk);
                if heard.is_err() {
                    break;
                }
            }
            match heard {
                Ok(frame) => assert!(frame == Some(Frame::binary(vec![0; size])) && !is_bomb),
                Err(error) => {
                    assert_eq!((error.close_code(), is_bomb), (Some(1009), true));
                    assert_eq!(error, Error::Bomb { ratio: 200 });
                }
            }
        }
    }
}

#[test]
fn connections_without_context_share_what_they_compress_with_and_disturb_nobody() {
    let fresh = DeflateConfig::default();
    let mut pairs: Vec<_> = (1..=9)
        .map(|level| agreed(fresh.with_level(level).with_window_bits(6 + level), takeover()))
        .collect();
    let text: String = (0..3000).map(|number| format!("{number},")).collect();
    for round in 0..3 {
        for (client, server, _) in &mut pairs {
            let message = Frame::text(format!("{round}{text}"));
            // The first half of a message has come when others use the spare.
            client.send(&message).unwrap();
            let bytes = client.output().bytes().to_vec();
            client.output().wrote(bytes.len());
            let (begin, end) = bytes.split_at(bytes.len() / 2);
            assert_eq!(hear(server, begin), Ok(None));
            let (mut other, mut another, _) = agreed(fresh, fresh);
            pass(&mut other, &mut another, &message);
            assert_eq!(hear(server, end), Ok(Some(message)));
        }
    }
}

// Section 7.1: negotiation.

/// The server's answer to an offer.
fn answer(offer: &'static str, config: DeflateConfig) -> Option<String> {
    let (mut request, mut answer) = (HeaderMap::new(), HeaderMap::new());
    request.insert("sec-websocket-extensions", offer.parse().unwrap());
    config.accept(&request, &mut answer)?;
    Some(answer["sec-websocket-extensions"].to_str().unwrap().to_owned())
}

#[test]
fn a_server_agrees_to_the_first_offer_that_it_can_keep() {
    let narrow = takeover().with_window_bits(10).with_peer_window_bits(11);
    for (offer, config, expected) in [
        ("permessage-deflate", takeover(), Some("")),
        ("x-other, Permessage-Deflate ; client_max_window_bits", takeover(), Some("")),
        (
            "permessage-deflate",
            DeflateConfig::default(),
            Some("; client_no_context_takeover; server_no_context_takeover"),
        ),
        (
            "permessage-deflate; server_no_context_takeover",
            takeover(),
            Some("; server_no_context_takeover"),
        ),
        (
            "permessage-deflate; client_max_window_bits",
            narrow,
            Some("; client_max_window_bits=11; server_max_window_bits=10"),
        ),
        (
            "permessage-deflate; server_max_window_bits=\"12\"; client_max_window_bits=9",
            takeover(),
            Some("; client_max_window_bits=9; server_max_window_bits=12"),
        ),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", takeover(), Some("")),
        ("permessage-deflate; server_max_window_bits=8", takeover(), None),
        ("permessage-deflate; server_max_window_bits", takeover(), None),
        ("permessage-deflate; server_max_window_bits=16", takeover(), None),
        ("permessage-deflate; server_max_window_bits=09", takeover(), None),
        ("permessage-deflate; client_no_context_takeover=1", takeover(), None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", takeover(), None),
        ("permessage-deflate; what", takeover(), None),
        ("x-webkit-deflate-frame", takeover(), None),
    ] {
        let expected = expected.map(|parameters| format!("permessage-deflate{parameters}"));
        assert_eq!(answer(offer, config), expected, "{offer}");
    }
}

#[test]
fn both_ends_keep_what_they_agreed_on() {
    let narrow = takeover().with_window_bits(9).with_peer_window_bits(10);
    let (mut client, mut server, extension) = agreed(narrow, takeover());
    assert_eq!(
        extension,
        "permessage-deflate; client_max_window_bits=9; server_max_window_bits=10"
    );
    let text: String = (0..2000).map(|number| format!("{number},")).collect();
    for _ in 0..3 {
        pass(&mut client, &mut server, &Frame::text(text.as_str()));
        pass(&mut server, &mut client, &Frame::text(text.as_str()));
    }
}

/// The client that a server has answered with this.
fn answered(config: DeflateConfig, extension: &str) -> Result<WebSocket, String> {
    let mut handshake = ClientHandshake::new(&request(config)).unwrap();
    let mut asked = ServerHandshake::new(16 << 10);
    asked.input().extend(handshake.output().bytes());
    let sent = handshake.output().len();
    handshake.output().wrote(sent);
    let request = asked.poll_request().unwrap().unwrap();
    let mut answer: Response<()> = ServerHandshake::accept(&request).unwrap();
    answer.headers_mut().insert("sec-websocket-extensions", extension.parse().unwrap());
    handshake.check(&answer).map_err(|error| error.to_string())?;
    Ok(handshake.into_websocket(Limits::default()))
}

#[test]
fn a_client_refuses_what_it_did_not_offer() {
    let check = |config, extension| answered(config, extension).map(drop);
    let (fresh, narrow) = (DeflateConfig::default(), takeover().with_window_bits(10));
    let narrow = narrow.with_peer_window_bits(11);
    for (config, good) in [
        (takeover(), ""),
        (takeover(), "permessage-deflate"),
        (takeover(), "permessage-deflate; client_max_window_bits=9"),
        (takeover(), "permessage-deflate; client_max_window_bits=8"),
        (takeover(), "permessage-deflate; server_max_window_bits=8"),
        (takeover(), "permessage-deflate; client_no_context_takeover; server_no_context_takeover"),
        (fresh, "permessage-deflate; server_no_context_takeover"),
        (narrow, "permessage-deflate; server_max_window_bits=11"),
        (narrow, "permessage-deflate; server_max_window_bits=9; client_max_window_bits=10"),
    ] {
        assert_eq!(check(config, good), Ok(()), "{good}");
    }
    for (config, bad, why) in [
        (takeover(), "permessage-deflate; client_max_window_bits", "client_max_window_bits"),
        (takeover(), "permessage-deflate; client_max_window_bits=7", "not offered"),
        (takeover(), "permessage-deflate; unknown", "not offered"),
        (takeover(), "permessage-deflate, permessage-deflate", "not offered"),
        (takeover(), "x-webkit-deflate-frame", "not offered"),
        (fresh, "permessage-deflate", "server_no_context_takeover"),
        (narrow, "permessage-deflate", "larger window"),
        (narrow, "permessage-deflate; server_max_window_bits=12", "larger window"),
        (
            narrow,
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits=11",
            "client_max_window_bits",
        ),
    ] {
        let error = check(config, bad).unwrap_err();
        assert!(error.contains(why), "{bad}: {error}");
    }
}

#[test]
fn a_client_whose_window_should_be_smaller_than_it_can_sends_messages_as_they_are() {
    for (bits, first) in [(8, 0x81), (9, 0xc1)] {
        let answer = format!("permessage-deflate; client_max_window_bits={bits}");
        let mut client = answered(takeover(), &answer).unwrap();
        client.send(&Frame::text("a".repeat(1000))).unwrap();
        assert_eq!(client.output().bytes()[0], first, "{bits}");
    }
}

proptest! {
    // Compression takes its time where it is not optimized.
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is said, in whatever fragments of bytes, comes as it was.
    #[test]
    fn any_messages_pass_in_any_chunks(
        messages in proptest::collection::vec(proptest::collection::vec(0_u8..4, 0..3000), 1..8),
        chunk in 1_usize..700,
        keeps in any::<(bool, bool)>(),
        bits in (9_u8..=15, 9_u8..=15),
    ) {
        let config = DeflateConfig::default()
            .with_context_takeover(keeps.0)
            .with_peer_context_takeover(keeps.1)
            .with_window_bits(bits.0)
            .with_peer_window_bits(bits.1);
        let (mut client, mut server, _) = agreed(config, takeover());
        for message in messages {
            let message = Frame::binary(message);
            client.send(&message).unwrap();
            let bytes = client.output().bytes().to_vec();
            client.output().wrote(bytes.len());
            let mut heard = Vec::new();
            for chunk in bytes.chunks(chunk) {
                server.input().extend(chunk);
                while let Some(frame) = server.poll_frame().unwrap() {
                    heard.push(frame);
                }
            }
            prop_assert_eq!(heard, vec![message]);
        }
    }

    /// Whatever stands in a compressed message: an error, or a message within the limits.
    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let mut socket = client();
        let frame = [&[0xc2, bytes.len() as u8], &bytes[..]].concat();
        if let Ok(Some(Frame::Binary(message))) = hear(&mut socket, &frame) {
            prop_assert!(message.len() <= 1000);
        }
    }
}
