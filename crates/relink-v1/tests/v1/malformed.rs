//! Messages that are not frames: the code they are refused with, and the reason.

use std::iter;

use relink::{CloseFrame, Message};
use relink_v1::{ClientFrame, Codec, DecodeError, Encoding, ServerFrame};

use crate::golden::{self, unhex};

fn client(text: &str) -> (u16, String) {
    said(ClientFrame::decode(&Message::from(text)).expect_err(text))
}

fn server(text: &str) -> (u16, String) {
    said(ServerFrame::decode(&Message::from(text)).expect_err(text))
}

fn cbor(hex: &str) -> (u16, String) {
    said(ClientFrame::decode(&Message::from(unhex(hex))).expect_err(hex))
}

fn said(error: DecodeError) -> (u16, String) {
    (error.close.0, error.detail)
}

fn is(code: u16, detail: &str) -> (u16, String) {
    (code, detail.to_owned())
}

#[test]
fn w11_what_is_not_json_is_refused_with_1007() {
    for text in [
        "",
        "{",
        "nonsense",
        "{\"type\":\"renew\",}",
        "{\"type\":5}}",
        "[1,",
        "\"\u{1}\"",
        "{\"type\":01}",
    ] {
        assert_eq!(client(text), is(1007, "not well-formed JSON"), "{text}");
        assert_eq!(server(text), is(1007, "not well-formed JSON"), "{text}");
    }
    // An earlier mistake does not hide it.
    assert_eq!(client(r#"{"type":"hello","token":7,"token":8"#).0, 1007);
}

#[test]
fn w11_what_is_not_cbor_is_refused_with_1007() {
    let hexes = [
        "",                   // nothing
        "a1",                 // a map without its pair
        "a100ff",             // a break where a value belongs
        "a20006",             // one pair of two
        "1c",                 // a reserved head
        "f810",               // a simple value in too many bytes
        "bf00ff",             // a key without a value
        "a1005f6161ff",       // text as a piece of bytes
        "a1005f5f4100ffff",   // pieces in pieces
        "a2000608 62c328",    // text that is not UTF-8
        "a300060861 78 631f", // text that ends early
    ];
    for hex in hexes {
        assert_eq!(cbor(hex), is(1007, "not well-formed CBOR"), "{hex}");
    }
    assert_eq!(cbor("a2000608617800"), is(1007, "bytes follow the CBOR item"));
}

#[test]
fn w11_what_is_no_object_is_refused_with_1003() {
    for text in ["7", "null", "[]", " \"hello\" ", "1e999", r#"{"\ud800":1}"#] {
        assert_eq!(client(text), is(1003, "a JSON object is wanted"), "{text}");
    }
    for hex in ["07", "80", "f6", "c1a10006", "65 68656c6c6f"] {
        assert_eq!(cbor(hex), is(1003, "a CBOR map is wanted"), "{hex}");
    }
}

#[test]
fn w11_an_unknown_type_is_refused_with_1003() {
    let wanted = "type: one of hello, message, subscribe, unsubscribe, heartbeat, renew is wanted";
    for text in
        [r#"{"type":"hallo"}"#, r#"{"type":1}"#, r#"{"type":["hello"]}"#, r#"{"type":"welcome"}"#]
    {
        assert_eq!(client(text), is(1003, wanted), "{text}");
    }
    for hex in ["a10000", "a10007", "a1006568656c6c6f", "a100f5"] {
        assert_eq!(cbor(hex), is(1003, wanted), "{hex}");
    }
    assert_eq!(server(r#"{"type":"renew","token":"s3cret"}"#).0, 1003);
    for text in ["{}", r#"{"type":null}"#, r#"{"kind":"hello"}"#] {
        assert_eq!(client(text), is(1003, "type: missing"), "{text}");
    }
    assert_eq!(cbor("a0"), is(1003, "type: missing"));
}

#[test]
fn w11_a_missing_field_is_named() {
    let cases = [
        (r#"{"type":"message","serial":1}"#, "text, base64: missing"),
        (r#"{"type":"subscribe"}"#, "channel: missing"),
        (r#"{"type":"unsubscribe","channel":null}"#, "channel: missing"),
        (r#"{"type":"heartbeat","sent":1}"#, "nonce: missing"),
        (r#"{"type":"heartbeat","nonce":1}"#, "sent: missing"),
        (r#"{"type":"renew"}"#, "token: missing"),
        (r#"{"type":"hello","resume":{}}"#, "resume.session: missing"),
        (r#"{"type":"hello","resume":{"session":"x"}}"#, "resume.position: missing"),
        (
            r#"{"type":"hello","resume":{"session":"x","position":{"epoch":1}}}"#,
            "resume.position.offset: missing",
        ),
    ];
    for (text, detail) in cases {
        assert_eq!(client(text), is(1003, detail), "{text}");
    }
    // Removes the required fields of each golden frame of a client, one after the other.
    for golden in golden::server() {
        let value: serde_json::Value = serde_json::from_str(golden.json).expect("JSON");
        for key in value.as_object().expect("an object").keys() {
            let mut less = value.clone();
            less.as_object_mut().expect("an object").remove(key);
            let optional = match ServerFrame::decode(&Message::from(less.to_string())) {
                Ok((frame, _)) => frame != golden.frame,
                Err(error) => {
                    let is_named = error.detail.contains(&format!("{key}: missing"));
                    let is_payload = error.detail == "text, base64: missing";
                    assert!(error.close.0 == 1003 && (is_named || is_payload), "{less}: {error}");
                    false
                }
            };
            let may_be_absent =
                ["refused", "rejected", "problem", "detail", "channel", "more", "max_message"];
            assert!(!optional || may_be_absent.contains(&key.as_str()), "{less}");
        }
    }
}

#[test]
fn w11_a_field_of_another_kind_is_refused_and_nothing_of_it_is_said() {
    let number = "a whole number from 1 to 9007199254740991 is wanted";
    let cases = [
        (r#"{"type":"message","text":"x","serial":"s3cret"}"#, format!("serial: {number}")),
        (r#"{"type":"message","text":"x","serial":1.0}"#, format!("serial: {number}")),
        (r#"{"type":"message","text":"x","serial":1e3}"#, format!("serial: {number}")),
        (r#"{"type":"message","text":"x","serial":-1}"#, format!("serial: {number}")),
        (r#"{"type":"message","text":"x","serial":1e999}"#, format!("serial: {number}")),
        (r#"{"type":"message","text":7}"#, "text: text is wanted".into()),
        (r#"{"type":"message","text":"\ud800"}"#, "text: text is wanted".into()),
        (
            r#"{"type":"message","text":"x","base64":""}"#,
            "text, base64: only one of them is wanted".into(),
        ),
        (r#"{"type":"hello","resume":"s3cret"}"#, "resume: a record is wanted".into()),
        (
            r#"{"type":"hello","token":["s3cret"]}"#,
            "token: text of 0 to 16384 bytes is wanted".into(),
        ),
        (r#"{"type":"renew","token":"s3cret","token":"s3cret"}"#, "token: twice".into()),
        (
            r#"{"type":"heartbeat","nonce":4294967296,"sent":0}"#,
            "nonce: a whole number from 0 to 4294967295 is wanted".into(),
        ),
    ];
    for (text, detail) in cases {
        assert_eq!(client(text), (1003, detail), "{text}");
    }
    for base64 in ["A", "AA", "AAA", "AB==", "A A=", "AAH-_w==", "AAA=AAA="] {
        let text = format!(r#"{{"type":"message","base64":"{base64}"}}"#);
        let detail = "base64: base64 of the standard alphabet, with padding, is wanted";
        assert_eq!(client(&text), is(1003, detail), "{text}");
    }
    assert_eq!(
        server(
            r#"{"type":"subscribed","recovered":1,"channel":"x","position":{"epoch":0,"offset":0}}"#
        ),
        is(1003, "recovered: true or false is wanted")
    );
    assert_eq!(
        server(r#"{"type":"members","channel":"x","members":[{"user":"a"}]}"#),
        is(1003, "members.join: missing")
    );
    assert_eq!(
        server(r#"{"type":"members","channel":"x","members":{}}"#),
        is(1003, "members: a list of up to 10000 records is wanted")
    );
}

#[test]
fn w11_a_field_of_cbor_has_its_major_type() {
    // A message with a serial that is negative, a float, a text, and tagged.
    for serial in ["20", "f93c00", "6131", "c101"] {
        let hex = format!("a30002 0361 78 01{serial}");
        assert_eq!(
            cbor(&hex),
            is(1003, "serial: a whole number from 1 to 9007199254740991 is wanted"),
            "{hex}"
        );
    }
    assert_eq!(cbor("a20002 034178"), is(1003, "text: text is wanted"));
    assert_eq!(cbor("a20002 046178"), is(1003, "base64: a byte string is wanted"));
    assert_eq!(cbor("a30006 086178 086178"), is(1003, "token: twice"));
}

#[test]
fn w11_what_is_not_known_is_passed_over() {
    let golden = &golden::client()[2];
    let json = golden.json.replacen(
        '{',
        r#"{"x":{"deep":[1,{"serial":9}]},"x":1e999,"nonce":"other","#,
        1,
    );
    assert_eq!(
        ClientFrame::decode(&Message::from(json)),
        Ok((golden.frame.clone(), Encoding::Json))
    );
    // Keys that are text, negative, large, a list; a value of a field that belongs to other frames.
    let pairs = "6178 bf5f4100ff9fffff 20 01 18ff 02 1b7fffffffffffffff 03 8101 04 06 6178";
    let cbor = golden.cbor.replacen("a4", &format!("aa {pairs}"), 1);
    assert_eq!(
        ClientFrame::decode(&Message::from(unhex(&cbor))),
        Ok((golden.frame.clone(), Encoding::Cbor))
    );
}

#[test]
fn what_others_may_write_otherwise_is_read() {
    let expected = ClientFrame::Message {
        serial: Some(7),
        channel: Some("a/b".into()),
        payload: "é\n".into(),
    };
    let text = " {\"text\" : \"\\u00e9\\n\",\n\t\"channel\": \"a\\/b\", \"\\u0073erial\":7, \"type\":\"message\",\"token\":null}\r\n";
    assert_eq!(ClientFrame::decode(&text.into()), Ok((expected.clone(), Encoding::Json)));
    // Lengths that come at the end, numbers in more bytes than they need, no value at all.
    let hex = "bf 1800 190002 18 01 1b0000000000000007 02 7f 61 61 62 2f62 ff 03 7f 62c3a9 610a 60 ff 08 f6 0e f7 ff";
    assert_eq!(ClientFrame::decode(&unhex(hex).into()), Ok((expected, Encoding::Cbor)));
    let pieces = "a20002 04 5f 4100 40 4201fe ff";
    let expected =
        ClientFrame::Message { serial: None, channel: None, payload: vec![0, 1, 254].into() };
    assert_eq!(ClientFrame::decode(&unhex(pieces).into()), Ok((expected, Encoding::Cbor)));
}

#[test]
fn w11_depth_costs_nothing() {
    let deep = 500_000;
    let nested = |open: &str, close: &str| open.repeat(deep) + "0" + &close.repeat(deep);
    let arrays = format!(r#"{{"type":"renew","token":"x","x":{}}}"#, nested("[", "]"));
    assert!(
        ClientFrame::decode(&Message::from(arrays)).is_ok(),
        "what is not known is passed over, however deep"
    );
    let objects = format!(r#"{{"type":"hello","resume":{}}}"#, nested(r#"{"resume":"#, "}"));
    assert_eq!(client(&objects), is(1003, "resume.session: missing"));
    assert_eq!(client(&"[".repeat(deep)), is(1007, "not well-formed JSON"));

    let level = |levels: usize| {
        let nested: Vec<u8> = iter::repeat_n(0x81, levels).chain([0]).collect();
        let message = [&[0xa3, 0, 6, 8, 0x61, 0x78, 0x18, 0xff], nested.as_slice()].concat();
        ClientFrame::decode(&message.into()).map(|_| ()).map_err(said)
    };
    assert_eq!(level(31), Ok(()), "32 levels with the frame itself");
    assert_eq!(level(32), Err(is(1003, "CBOR nested too deeply")));
    assert_eq!(level(deep), Err(is(1003, "CBOR nested too deeply")));
    assert_eq!(
        cbor(&"c1".repeat(33)),
        is(1007, "not well-formed CBOR"),
        "ends before it is too deep"
    );
    assert_eq!(cbor(&"c1".repeat(34)), is(1003, "CBOR nested too deeply"));
}

#[test]
fn w11_a_length_that_is_only_claimed_allocates_nothing() {
    // Bytes, text, a list and a map, each of 64 KiB, of 4 GiB and of 2⁶⁴-1; nothing follows. If
    // memory were reserved first, the last two would end the process.
    for major in [2_u8, 3, 4, 5] {
        for claim in [
            vec![0x1a, 0, 1, 0, 0],
            vec![0x1a, 255, 255, 255, 255],
            [vec![0x1b], vec![255; 8]].concat(),
        ] {
            let mut bytes = vec![0xa2, 0, 2, 3];
            bytes.extend(&claim);
            bytes[4] |= major << 5;
            let message = Message::from(bytes);
            assert_eq!(
                ClientFrame::decode(&message).map_err(|error| error.close.0),
                Err(1007),
                "{message:?}"
            );
            assert_eq!(
                ServerFrame::decode(&message).map_err(|error| error.close.0),
                Err(1007),
                "{message:?}"
            );
        }
    }
}

#[test]
fn w11_the_reason_fits_into_a_close_frame() {
    let error = ServerFrame::decode(&r#"{"type":"x"}"#.into()).expect_err("no such type");
    assert!(error.detail.len() > 123, "{error}");
    let close = CloseFrame::from(error);
    assert_eq!((close.code.0, close.reason.len()), (1003, 123));
    assert!(close.reason.starts_with("type: one of welcome, ack, rejected, "), "{close:?}");
}

#[test]
fn a_payload_shares_the_memory_of_its_message() {
    for golden in [&golden::client()[2], &golden::client()[3]] {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let message = golden.message(encoding);
            let Ok((ClientFrame::Message { payload, .. }, _)) = ClientFrame::decode(&message)
            else {
                panic!("no message: {}", golden.json);
            };
            let whole = message.as_bytes().as_ptr_range();
            let is_part = whole.contains(&payload.as_bytes().as_ptr());
            let is_base64 = encoding == Encoding::Json && matches!(payload, Message::Binary(_));
            assert_eq!(is_part, !is_base64, "{} in {encoding:?}", golden.json);
        }
    }
}
