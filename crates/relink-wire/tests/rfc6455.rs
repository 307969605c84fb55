//! RFC 6455, section by section.

use bytes::Bytes;
use relink_wire::{
    CloseFrame, Error, Frame, Limits, ProtocolError, Role, SendError, Text, WebSocket,
};

fn client() -> WebSocket {
    WebSocket::new(Role::Client, Limits::new(1000, 800))
}

/// Everything that this end hears from the bytes, and how it ends.
fn hear(socket: &mut WebSocket, bytes: &[u8]) -> (Vec<Frame>, Option<Error>) {
    socket.input().extend(bytes);
    let mut frames = Vec::new();
    loop {
        match socket.poll_frame() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}

/// What a new client hears in these bytes.
fn heard(bytes: &[u8]) -> Vec<Frame> {
    let (frames, error) = hear(&mut client(), bytes);
    assert_eq!(error, None);
    frames
}

/// Why a new client stops.
fn broken(bytes: &[u8]) -> Error {
    let mut socket = client();
    let error = hear(&mut socket, bytes).1.expect("an error");
    assert_eq!(hear(&mut socket, &[0x81, 1, b'x']), (vec![], None), "an error is the last word");
    error
}

fn breaks(bytes: &[u8], error: ProtocolError) {
    let found = broken(bytes);
    assert_eq!(found, Error::Protocol(error));
    assert_eq!(found.close_code(), Some(1002));
}

/// What this end has written since the last look.
fn written(socket: &mut WebSocket) -> Vec<u8> {
    let bytes = socket.output().bytes().to_vec();
    socket.output().wrote(bytes.len());
    bytes
}

// Section 5.1: masking.

#[test]
fn a_client_masks_and_a_server_does_not() {
    let (mut client, mut server) = (client(), WebSocket::new(Role::Server, Limits::default()));
    for length in [0, 1, 7, 125, 126, 5000, 65_535, 65_536, 100_000] {
        let message = Frame::binary(vec![42; length]);
        client.send(&message).unwrap();
        let asked = written(&mut client);
        assert_eq!(asked[1] & 0x80, 0x80);
        assert_eq!(hear(&mut server, &asked), (vec![message.clone()], None), "{length}");
        server.send(&message).unwrap();
        let answered = written(&mut server);
        assert_eq!(answered[1] & 0x80, 0);
        assert_eq!(answered[answered.len() - length..], vec![42; length]);
    }
}

#[test]
fn a_mask_is_where_it_belongs_or_the_connection_fails() {
    breaks(&[0x81, 0x81, 1, 2, 3, 4, 0], ProtocolError::Masked);
    let mut server = WebSocket::new(Role::Server, Limits::default());
    let error = hear(&mut server, &[0x81, 1, b'x']).1;
    assert_eq!(error, Some(ProtocolError::NotMasked.into()));
}

// Section 5.2: the base frame.

#[test]
fn reserved_bits_and_opcodes_fail_the_connection() {
    for bit in [0x40, 0x20, 0x10] {
        breaks(&[0x81 | bit, 0], ProtocolError::ReservedBits);
        breaks(&[0x89 | bit, 0], ProtocolError::ReservedBits);
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        breaks(&[0x80 | opcode, 0], ProtocolError::ReservedOpcode(opcode));
    }
}

#[test]
fn a_length_may_take_any_of_the_three_forms() {
    for header in [&[0x82, 3][..], &[0x82, 126, 0, 3], &[0x82, 127, 0, 0, 0, 0, 0, 0, 0, 3]] {
        assert_eq!(heard(&[header, b"abc"].concat()), [Frame::binary("abc")]);
    }
}

// Section 5.4: fragmentation.

#[test]
fn fragments_make_one_message_and_control_frames_may_stand_between() {
    let stream = [&[0x01, 1, b'a', 0x89, 1, b'?', 0x00, 0, 0x00, 1, b'b', 0x80, 1, b'c'][..]];
    let expected = [Frame::Ping("?".into()), Frame::text("abc")];
    assert_eq!(heard(&stream.concat()), expected);
}

#[test]
fn fragments_out_of_order_fail_the_connection() {
    breaks(&[0x80, 0], ProtocolError::NothingToContinue);
    breaks(&[0x81, 0, 0x80, 0], ProtocolError::NothingToContinue);
    breaks(&[0x01, 0, 0x81, 0], ProtocolError::NotContinued);
    breaks(&[0x02, 0, 0x02, 0], ProtocolError::NotContinued);
}

#[test]
fn a_message_is_under_way_from_its_first_header_to_its_last_byte() {
    let mut socket = client();
    // A text in two frames, with a ping between them, and one that is whole.
    let bytes = [0x01, 1, b'a', 0x89, 1, b'?', 0x80, 1, b'b', 0x81, 1, b'c'];
    let under_way = bytes.map(|byte| {
        let _ = hear(&mut socket, &[byte]);
        socket.is_mid_message()
    });
    let (yes, no) = (true, false);
    assert_eq!(under_way, [no, yes, yes, yes, yes, yes, yes, yes, no, no, yes, no]);
}

// Section 5.5: control frames.

#[test]
fn control_frames_are_whole_and_short() {
    for opcode in [8, 9, 10] {
        breaks(&[opcode, 0], ProtocolError::FragmentedControl);
        breaks(&[0x80 | opcode, 126, 0, 126], ProtocolError::LongControl(126));
        let long = [&[0x80 | opcode, 126, 0, 125][..], &[b'x'; 125]].concat();
        let is_close = opcode == 8;
        assert_eq!(hear(&mut client(), &long).1.is_some(), is_close, "0x7878 is no close code");
    }
    let mut socket = client();
    let long = Bytes::from(vec![0; 126]);
    for frame in [Frame::Ping(long.clone()), Frame::Pong(long)] {
        assert_eq!(socket.send(&frame), Err(SendError::TooLong(126)));
    }
    assert!(socket.output().is_empty());
}

#[test]
fn each_ping_is_answered_with_its_payload_and_a_pong_is_not() {
    let mut server = WebSocket::new(Role::Server, Limits::default());
    let mut client = client();
    for payload in ["", "one", "two"] {
        client.send(&Frame::Ping(payload.into())).unwrap();
    }
    client.send(&Frame::Pong("out of the blue".into())).unwrap();
    let frames = hear(&mut server, &written(&mut client)).0;
    assert_eq!(frames.len(), 4);
    let pongs = ["", "one", "two"].map(|payload| Frame::Pong(payload.into()));
    assert_eq!(hear(&mut client, &written(&mut server)).0, pongs);
    assert!(client.output().is_empty());
}

// Sections 5.5.1 and 7: closing.

#[test]
fn a_close_frame_is_answered_with_its_content_and_is_the_last_word() {
    for (bytes, content) in [
        (&b"\x88\x00"[..], None),
        (b"\x88\x02\x03\xe8", Some(CloseFrame::new(1000, ""))),
        (b"\x88\x06\x0f\xb4bye!", Some(CloseFrame::new(4020, "bye!"))),
    ] {
        let mut socket = client();
        assert_eq!(hear(&mut socket, bytes), (vec![Frame::Close(content.clone())], None));
        assert!(socket.is_closing());
        assert_eq!(socket.send(&Frame::text("late")), Err(SendError::Closed));
        let mut server = WebSocket::new(Role::Server, Limits::default());
        let answer = hear(&mut server, &written(&mut socket));
        assert_eq!(answer, (vec![Frame::Close(content)], None));
        assert!(socket.output().is_empty());
        // What comes now is not looked at, and the end is reported once.
        assert_eq!(hear(&mut socket, &[0xff; 9]), (vec![], None));
        socket.input().end();
        assert_eq!(socket.poll_frame(), Err(Error::Ended));
        assert_eq!(socket.poll_frame(), Ok(None));
    }
}

#[test]
fn after_our_close_frame_the_peer_is_heard_until_its_own() {
    let mut socket = client();
    socket.send(&Frame::Close(Some(CloseFrame::new(1000, "done")))).unwrap();
    assert_eq!(socket.send(&Frame::Close(None)), Err(SendError::Closed));
    drop(written(&mut socket));
    let (frames, _) = hear(&mut socket, b"\x81\x01a\x89\x00\x88\x02\x03\xe8");
    let close = Frame::Close(Some(CloseFrame::new(1000, "")));
    assert_eq!(frames, [Frame::text("a"), Frame::Ping(Bytes::new()), close]);
    assert!(socket.output().is_empty(), "neither the ping nor the close is answered");
}

#[test]
fn a_close_frame_with_half_a_code_fails_the_connection() {
    breaks(&[0x88, 1, 3], ProtocolError::HalfACode);
}

#[test]
fn the_end_without_a_close_frame_is_reported_after_what_came_before() {
    let mut socket = client();
    socket.input().extend(&[0x81, 1, b'x', 0x81]);
    socket.input().end();
    assert_eq!(socket.poll_frame(), Ok(Some(Frame::text("x"))));
    assert_eq!(socket.poll_frame(), Err(Error::Ended));
    assert_eq!(Error::Ended.close_code(), None);
}

// Section 7.4: close codes, and those that were registered later.

#[test]
fn a_code_is_the_peers_own_or_fails_the_connection() {
    for code in 0..=u16::MAX {
        let bytes = [&[0x88, 2][..], &code.to_be_bytes()].concat();
        let is_good = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        assert_eq!(CloseFrame::is_sendable(code), is_good);
        let mut socket = client();
        let frame = Frame::Close(Some(CloseFrame::new(code, "")));
        if is_good {
            assert_eq!(heard(&bytes), std::slice::from_ref(&frame));
            assert_eq!(socket.send(&frame), Ok(()));
        } else {
            breaks(&bytes, ProtocolError::ReservedCode(code));
            assert_eq!(socket.send(&frame), Err(SendError::ReservedCode(code)));
            assert!(!socket.is_closing() && socket.output().is_empty());
        }
    }
}

#[test]
fn a_reason_has_at_most_123_bytes() {
    let mut socket = client();
    let longest = "x".repeat(CloseFrame::MAX_REASON);
    let too_long = Frame::Close(Some(CloseFrame::new(1000, longest.clone() + "x")));
    assert_eq!(socket.send(&too_long), Err(SendError::TooLong(126)));
    assert_eq!(socket.send(&Frame::Close(Some(CloseFrame::new(1000, longest)))), Ok(()));
}

// Section 8.1: UTF-8.

#[test]
fn text_that_is_not_utf_8_fails_at_its_first_wrong_byte() {
    // Overlong, a surrogate, beyond Unicode, a stray continuation, a byte that is never used.
    for bad in [&b"\xc0"[..], b"\xe0\x80", b"\xed\xa0", b"\xf4\x90", b"\x80", b"\xff", b"a\xc3a"] {
        // Alone in a frame that is longer.
        let whole = [&[0x81, 100, b'a'][..], bad].concat();
        assert_eq!(broken(&whole), Error::NotUtf8, "{bad:x?}");
        // In the second frame, byte by byte.
        let mut socket = client();
        assert_eq!(hear(&mut socket, &[0x01, 1, b'a', 0x00, 100]), (vec![], None));
        let mut errors = bad.iter().filter_map(|byte| hear(&mut socket, &[*byte]).1);
        assert_eq!(errors.next(), Some(Error::NotUtf8), "{bad:x?}");
        assert_eq!(hear(&mut client(), &whole[..3]), (vec![], None));
    }
    assert_eq!(Error::NotUtf8.close_code(), Some(1007));
}

#[test]
fn a_character_may_be_cut_by_frames_and_chunks_and_not_by_the_end_of_a_message() {
    let text = "aß水🍌".as_bytes();
    for cut in 0..=text.len() {
        let (one, two) = text.split_at(cut);
        let first = [&[0x01, one.len() as u8], one].concat();
        let second = [&[0x80, two.len() as u8], two].concat();
        assert_eq!(heard(&[first, second].concat()), [Frame::text("aß水🍌")]);

        let mut socket = client();
        let whole = [&[0x81, text.len() as u8], text].concat();
        let (one, two) = whole.split_at(cut);
        assert_eq!(hear(&mut socket, one), (vec![], None));
        assert_eq!(hear(&mut socket, two), (vec![Frame::text("aß水🍌")], None));

        let cut_off = [&[0x81, cut as u8], &text[..cut]].concat();
        let is_whole = std::str::from_utf8(&text[..cut]).is_ok();
        assert_eq!(hear(&mut client(), &cut_off).1.is_none(), is_whole);
    }
}

#[test]
fn a_reason_that_is_not_utf_8_hides_no_code_and_is_answered_with_1007() {
    let mut socket = client();
    let (frames, error) = hear(&mut socket, b"\x88\x03\x0f\xa1\xff");
    assert_eq!(frames, [Frame::Close(Some(CloseFrame::new(4001, "\u{fffd}")))]);
    assert_eq!(error, None);
    let mut server = WebSocket::new(Role::Server, Limits::default());
    let answer = hear(&mut server, &written(&mut socket)).0;
    assert_eq!(answer, [Frame::Close(Some(CloseFrame::new(1007, "")))]);
}

// Section 10.4: limits.

#[test]
fn a_frame_and_a_message_beyond_the_limit_fail_at_their_header() {
    let too_large = |size, limit| Error::TooLarge { size, limit };
    assert_eq!(broken(&[0x82, 126, 0x03, 0x21]), too_large(801, 800));
    assert_eq!(broken(&[&[0x82, 127][..], &[0xff; 8]].concat()), too_large(u64::MAX, 800));
    let first = [&[0x02, 126, 0x03, 0x20][..], &[0; 800]].concat();
    assert_eq!(broken(&[&first[..], &[0x80, 126, 0, 201]].concat()), too_large(1001, 1000));
    let last = [&[0x80, 126, 0, 200][..], &[0; 200]].concat();
    assert_eq!(heard(&[first, last].concat()), [Frame::binary(vec![0; 1000])]);
    assert_eq!(too_large(1, 0).close_code(), Some(1009));
}

#[test]
fn an_announcement_takes_no_memory() {
    let mut socket = WebSocket::new(Role::Client, Limits::new(1 << 30, 1 << 30));
    let announced = [0x82, 127, 0, 0, 0, 0, 0x20, 0, 0, 0];
    assert_eq!(hear(&mut socket, &announced), (vec![], None));
    let room = socket.input().spare(1).len();
    assert!(room <= 64 << 10, "{room}");
    // What has come is trusted to go on: memory grows with it.
    let _ = hear(&mut socket, &vec![0; 1 << 20]);
    let room = socket.input().spare(1).len();
    assert!((1 << 19..=2 << 20).contains(&room), "{room}");
}

#[test]
fn a_large_message_is_the_memory_it_was_read_into() {
    let mut socket = WebSocket::new(Role::Client, Limits::default());
    let _ = hear(&mut socket, &[0x82, 127, 0, 0, 0, 0, 0, 0, 0x80, 0]);
    let spare = socket.input().spare(1);
    assert!(spare.len() >= 0x8000);
    let memory = spare.as_ptr();
    socket.input().filled(0x8000);
    let Ok(Some(Frame::Binary(message))) = socket.poll_frame() else { panic!("a message") };
    assert_eq!((message.len(), message.as_ptr()), (0x8000, memory));
}

#[test]
fn text_is_taken_at_its_word_and_debug_keeps_it_to_itself() {
    let text = Text::assume_utf8(Bytes::from_static(b"\xff"));
    assert_eq!(text.as_str(), "");
    assert!(Text::try_from(text.into_bytes()).is_err());
    let frames = [Frame::text("secret"), Frame::binary("secret"), Frame::Ping("secret".into())];
    assert_eq!(format!("{frames:?}"), "[Text(6 bytes), Binary(6 bytes), Ping(6 bytes)]");
}
