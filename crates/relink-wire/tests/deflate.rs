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
    let request = Request::get("ws://h/").body(()).unwrap();
    let mut asking = ClientHandshake::with_deflate(&request, client).unwrap();
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
    let mut config = DeflateConfig::default();
    (config.context_takeover, config.peer_context_takeover) = (true, true);
    config
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
        let (mut client, mut server, _) = agreed(config, config);
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
        pass(&mut server, &mut client, &Frame::binary(vec![7; 1 << 20]));
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
    let (mut big, _, _) = agreed(takeover(), takeover());
    big.send(&Frame::binary(vec![0; 1 << 20])).unwrap();
    let (_, mut server, _) = agreed(takeover(), takeover());
    carry(&mut big, server.input());
    assert!(matches!(server.poll_frame(), Ok(Some(_))), "at the limit");
    let error = {
        let mut small = client();
        let (_, mut other, _) = agreed(takeover(), takeover());
        other.send(&Frame::binary(vec![0; 1 << 20])).unwrap();
        carry(&mut other, small.input());
        small.poll_frame().unwrap_err()
    };
    assert_eq!(error.close_code(), Some(1009));
    let error = hear(&mut client(), &[0xc1, 2, 0xff, 0xff]).unwrap_err();
    assert_eq!((error.close_code(), error), (Some(1007), Error::NotDeflate));
    // Text is checked as it comes out.
    let bad = [0xc1, 7, 0, 1, 0, 0xfe, 0xff, 0xff, 0];
    assert_eq!(hear(&mut client(), &bad), Err(Error::NotUtf8));
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
    let mut narrow = takeover();
    (narrow.window_bits, narrow.peer_window_bits) = (10, 11);
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
    let mut narrow = takeover();
    (narrow.window_bits, narrow.peer_window_bits) = (9, 10);
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

#[test]
fn a_client_refuses_what_it_did_not_offer() {
    let check = |extension: &str| {
        let request = Request::get("ws://h/").body(()).unwrap();
        let mut handshake = ClientHandshake::with_deflate(&request, takeover()).unwrap();
        let sent = String::from_utf8(handshake.output().bytes().to_vec()).unwrap();
        let line = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
        assert!(sent.contains(line), "{sent}");
        let mut asked = ServerHandshake::new(16 << 10);
        asked.input().extend(sent.as_bytes());
        let request = asked.poll_request().unwrap().unwrap();
        let mut answer: Response<()> = ServerHandshake::accept(&request).unwrap();
        answer.headers_mut().insert("sec-websocket-extensions", extension.parse().unwrap());
        handshake.check(&answer).is_ok()
    };
    for good in ["", "permessage-deflate", "permessage-deflate; client_max_window_bits=9"] {
        assert!(check(good), "{good}");
    }
    for bad in [
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; unknown",
        "permessage-deflate, permessage-deflate",
        "x-webkit-deflate-frame",
    ] {
        assert!(!check(bad), "{bad}");
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
        let mut config = DeflateConfig::default();
        (config.context_takeover, config.peer_context_takeover) = keeps;
        (config.window_bits, config.peer_window_bits) = bits;
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
