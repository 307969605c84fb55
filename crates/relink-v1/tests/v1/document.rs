//! `docs/protocol.md` says what the codec does.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use relink::session::Problem;
use relink::{CloseCode, Message};
use relink_v1::{ClientFrame, Codec, ServerFrame, limits};
use serde_json::{Map, Value};

use crate::golden::{self, unhex};

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    fs::read_to_string(path).expect("the document is there")
}

/// JSON and CBOR of every frame.
fn goldens() -> Vec<(&'static str, &'static str)> {
    let client = golden::client().into_iter().map(|golden| (golden.json, golden.cbor));
    let server = golden::server().into_iter().map(|golden| (golden.json, golden.cbor));
    client.chain(server).collect()
}

#[test]
fn every_example_is_what_the_encoder_writes() {
    let document = document();
    for (json, cbor) in goldens() {
        let digits: Vec<char> = cbor.chars().filter(char::is_ascii_hexdigit).collect();
        let lines: Vec<String> = digits.chunks(96).map(String::from_iter).collect();
        let diagnostic = diagnostic(&item(&mut unhex(cbor).as_slice()));
        let block =
            format!("```json\n{json}\n```\n\n```cbor\n{}\n{diagnostic}\n```", lines.join("\n"));
        assert!(document.contains(&block), "docs/protocol.md lacks:\n{block}");
    }
    assert_eq!(
        document.matches("```cbor").count(),
        goldens().len(),
        "an example that no test knows"
    );
    assert_eq!(
        document.matches("```json").count(),
        goldens().len(),
        "an example that no test knows"
    );
}

#[test]
fn every_line_of_a_trace_is_a_frame() {
    let document = document();
    let mut frames = 0;
    for line in document.lines() {
        if let Some(json) = line.strip_prefix("→ ") {
            let (frame, encoding) = ClientFrame::decode(&json.into()).expect(line);
            assert_eq!(frame.encode(encoding), Message::from(json));
            frames += 1;
        } else if let Some(json) = line.strip_prefix("← ") {
            let (frame, encoding) = ServerFrame::decode(&json.into()).expect(line);
            assert_eq!(frame.encode(encoding), Message::from(json));
            frames += 1;
        }
    }
    assert!(frames > 20, "{frames}");
}

#[test]
fn the_tables_of_keys_alone_make_json_of_cbor() {
    let document = document();
    let rows = |columns: usize| -> BTreeMap<u64, String> {
        let cells =
            document.lines().map(|line| line.trim_matches('|').split('|').map(str::trim).collect());
        let rows =
            cells.filter(|cells: &Vec<&str>| cells.len() == columns && cells[1].starts_with('`'));
        rows.filter_map(|cells| {
            Some((cells[0].parse().ok()?, cells[1].trim_matches('`').to_owned()))
        })
        .collect()
    };
    let (keys, types) = (rows(4), rows(3));
    assert_eq!((keys.len(), types.len()), (31, 18));
    for (json, cbor) in goldens() {
        let expected: Value = serde_json::from_str(json).expect("JSON");
        let item = item(&mut unhex(cbor).as_slice());
        assert_eq!(translate(&item, &keys, &types), expected, "{json}");
    }
}

#[test]
fn the_table_of_limits_has_the_limits() {
    let document = document();
    let rows = [
        format!("| channel | 1 to {} bytes |", limits::CHANNEL),
        format!("| session | up to {} bytes |", limits::SESSION),
        format!("| token | up to {} bytes |", limits::TOKEN),
        format!("| presence, info | up to {} bytes |", limits::PRESENCE),
        format!("| user | up to {} bytes |", limits::USER),
        format!("| join | up to {} bytes |", limits::JOIN),
        format!("| name of a problem | up to {} bytes |", limits::PROBLEM_NAME),
        format!("| detail of a problem | up to {} bytes |", limits::PROBLEM_DETAIL),
        format!("| rejected | up to {} records |", limits::REJECTIONS),
        format!("| members | up to {} records |", limits::MEMBERS),
        format!("| numbers | up to {};", limits::NUMBER),
        format!("that the client takes, {} at least", limits::LEAST_MESSAGE),
        format!("nested deeper than {} levels", limits::DEPTH),
    ];
    for row in rows {
        assert!(document.contains(&row), "docs/protocol.md lacks: {row}");
    }
}

#[test]
fn the_tables_of_problems_and_close_codes_have_ours() {
    let document = document();
    let names = [
        Problem::CHANNEL_NOT_AUTHORIZED,
        Problem::TOKEN_EXPIRED,
        Problem::NOT_HANDLED,
        Problem::LIMIT_EXCEEDED,
        Problem::UNAVAILABLE,
    ];
    for name in names {
        assert!(
            document.contains(&format!("\n| `{name}` |")),
            "docs/protocol.md lacks the problem {name}"
        );
    }
    let codes = [
        CloseCode::NORMAL,
        CloseCode::GOING_AWAY,
        CloseCode::PROTOCOL_ERROR,
        CloseCode::UNSUPPORTED_DATA,
        CloseCode::INVALID_DATA,
        CloseCode::TOO_BIG,
        CloseCode::HEARTBEAT_TIMEOUT,
        CloseCode::INVALID_TOKEN,
        CloseCode::TOKEN_EXPIRED,
        CloseCode::CONCURRENT_CAP,
        CloseCode::ACCOUNT_SUSPENDED,
        CloseCode::ADMIN_DISCONNECT,
    ];
    for code in codes {
        assert!(
            document.contains(&format!("\n| {code} |")),
            "docs/protocol.md lacks the code {code}"
        );
    }
}

/// As much of CBOR as the encoder writes, read without it.
enum Item {
    Number(u64),
    Bytes(Vec<u8>),
    Text(String),
    List(Vec<Self>),
    Map(Vec<(u64, Self)>),
    Flag(bool),
}

fn item(bytes: &mut &[u8]) -> Item {
    let head = take(bytes, 1)[0];
    let argument = match head & 0x1f {
        info @ 0..=23 => u64::from(info),
        info => take(bytes, 1 << (info - 24))
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    };
    let count = usize::try_from(argument).expect("a length");
    match head >> 5 {
        0 => Item::Number(argument),
        2 => Item::Bytes(take(bytes, count).to_vec()),
        3 => Item::Text(String::from_utf8(take(bytes, count).to_vec()).expect("UTF-8")),
        4 => Item::List((0..count).map(|_| item(bytes)).collect()),
        5 => {
            let pair = |bytes: &mut &[u8]| {
                let Item::Number(key) = item(bytes) else { panic!("a key that is no number") };
                (key, item(bytes))
            };
            Item::Map((0..count).map(|_| pair(bytes)).collect())
        }
        7 => Item::Flag(argument == 21),
        major => panic!("the encoder never writes major type {major}"),
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

/// The diagnostic notation of RFC 8949, section 8.
fn diagnostic(item: &Item) -> String {
    match item {
        Item::Number(number) => number.to_string(),
        Item::Bytes(bytes) => format!("h'{}'", golden::shown(&Message::from(bytes.clone()))),
        Item::Text(text) => format!("{text:?}"),
        Item::List(items) => {
            format!("[{}]", items.iter().map(diagnostic).collect::<Vec<_>>().join(", "))
        }
        Item::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{key}: {}", diagnostic(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Item::Flag(flag) => flag.to_string(),
    }
}

fn translate(item: &Item, keys: &BTreeMap<u64, String>, types: &BTreeMap<u64, String>) -> Value {
    match item {
        Item::Number(number) => Value::from(*number),
        Item::Bytes(bytes) => Value::from(base64(bytes)),
        Item::Text(text) => Value::from(text.as_str()),
        Item::List(items) => items.iter().map(|item| translate(item, keys, types)).collect(),
        Item::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| match (keys[key].as_str(), value) {
                ("type", Item::Number(number)) => {
                    ("type".to_owned(), Value::from(types[number].as_str()))
                }
                (name, value) => (name.to_owned(), translate(value, keys, types)),
            });
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        Item::Flag(flag) => Value::from(*flag),
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits =
            (0..3).fold(0, |bits, at| bits << 8 | usize::from(group.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let letter = char::from(ALPHABET[bits >> (18 - 6 * at) & 0x3f]);
            text.push(if at <= group.len() { letter } else { '=' });
        }
    }
    text
}
