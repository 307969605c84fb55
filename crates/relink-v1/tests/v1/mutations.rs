//! A million mutated frames.

use rand_pcg::Pcg32;
use relink::rand_core::{Rng, SeedableRng};
use relink::{CloseCode, Message};
use relink_sim::fuzz;
use relink_v1::Encoding;

use crate::golden;

const ROUNDS: u32 = 500_000;

#[test]
fn w11_mutated_frames_never_panic_the_decoder_of_a_server() {
    let seeds = seeds(&golden::client());
    mutate(&seeds, 1, fuzz::client_frame);
}

#[test]
fn w11_mutated_frames_never_panic_the_decoder_of_a_client() {
    let seeds = seeds(&golden::server());
    mutate(&seeds, 2, fuzz::server_frame);
}

fn seeds<F>(goldens: &[golden::Golden<F>]) -> Vec<Message> {
    let encodings = [Encoding::Json, Encoding::Cbor];
    goldens.iter().flat_map(|golden| encodings.map(|encoding| golden.message(encoding))).collect()
}

/// Each mutant is judged by `relink_sim`, and counted here, so that all three outcomes are known to
/// occur.
fn mutate(seeds: &[Message], seed: u64, check: fn(&Message) -> Option<CloseCode>) {
    let mut dice = Dice(Pcg32::seed_from_u64(seed));
    let (mut taken, mut refused, mut no_syntax) = (0_u32, 0_u32, 0_u32);
    for _ in 0..ROUNDS {
        let original = dice.pick(seeds);
        let other = dice.pick(seeds).as_bytes();
        let is_text = original.as_text().is_some();
        let mut bytes = original.as_bytes().to_vec();
        for _ in 0..=dice.below(3) {
            mutation(&mut bytes, other, is_text, &mut dice);
        }
        let mutant = match String::from_utf8(bytes) {
            Ok(text) if is_text => Message::from(text),
            Ok(text) => Message::from(text.into_bytes()),
            Err(error) => Message::from(error.into_bytes()),
        };
        let outcome = check(&mutant);
        if mutant
            .as_text()
            .is_some_and(|text| serde_json::from_str::<serde_json::Value>(text).is_ok())
        {
            assert_ne!(outcome, Some(CloseCode::INVALID_DATA), "{:?}", mutant.as_text());
        }
        match outcome {
            None => taken += 1,
            Some(CloseCode::UNSUPPORTED_DATA) => refused += 1,
            Some(CloseCode::INVALID_DATA) => no_syntax += 1,
            Some(other) => panic!("{other}"),
        }
    }
    assert!(taken.min(refused).min(no_syntax) > ROUNDS / 50, "{taken} {refused} {no_syntax}");
}

fn mutation(bytes: &mut Vec<u8>, other: &[u8], is_text: bool, dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    match dice.below(if is_text { 12 } else { 9 }) {
        0 | 1 => flip(bytes, at, 1 << dice.below(8)),
        2 => bytes.insert(at, dice.byte()),
        3 => drop(bytes.splice(at..(at + 1 + dice.below(4)).min(bytes.len()), [])),
        4 => bytes.truncate(at),
        5 => {
            bytes.truncate(at);
            bytes.extend_from_slice(&other[dice.below(other.len())..]);
        }
        // A longer length: in eight bytes, in fewer, in none.
        6 => {
            let head = bytes.get(at).copied().unwrap_or(0x40) & 0xe0 | 0x1b;
            let claim = 1_u64.checked_shl(dice.0.next_u32() % 70).unwrap_or(u64::MAX);
            drop(bytes.splice(at..(at + 1).min(bytes.len()), [head]));
            drop(bytes.splice(at + 1..at + 1, claim.to_be_bytes()));
        }
        7 => flip(bytes, at, dice.byte() & 0x1f),
        8 => {
            let head = bytes.get(at).copied().unwrap_or(0x80) | 0x1f;
            drop(bytes.splice(at..(at + 1).min(bytes.len()), [head]));
            let end = at + 1 + dice.below(bytes.len() - at);
            bytes.insert(end, 0xff);
        }
        _ => token(bytes, dice),
    }
}

fn flip(bytes: &mut [u8], at: usize, mask: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= mask;
    }
}

/// Replaces, doubles, moves or removes a token of JSON.
fn token(bytes: &mut Vec<u8>, dice: &mut Dice) {
    const WORDS: [&str; 18] = [
        "null",
        "true",
        "-1",
        "0",
        "1e3",
        "1.5",
        "9007199254740991",
        "9007199254740992",
        "18446744073709551616",
        "1e999",
        "\"\"",
        "\"\\u0041\\/\"",
        "\"\\ud800\"",
        "{}",
        "[]",
        "[[[[[[[[",
        "\"serial\":1,",
        "\"text\":\"x\",",
    ];
    let mut tokens = tokens(bytes);
    if tokens.is_empty() {
        return;
    }
    let (at, other) = (dice.below(tokens.len()), dice.below(tokens.len()));
    match dice.below(5) {
        0 | 1 => tokens[at] = dice.pick(&WORDS).as_bytes().to_vec(),
        2 => tokens.insert(at, tokens[other].clone()),
        3 => tokens.swap(at, other),
        _ => drop(tokens.remove(at)),
    }
    *bytes = tokens.concat();
}

/// Strings, runs of letters and digits, and single marks.
fn tokens(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut tokens: Vec<Vec<u8>> = Vec::new();
    let mut in_string = false;
    for byte in bytes {
        let is_word = byte.is_ascii_alphanumeric();
        let goes_on =
            tokens.last().and_then(|token| token.last()).is_some_and(u8::is_ascii_alphanumeric);
        match tokens.last_mut() {
            Some(token) if in_string || (is_word && goes_on) => token.push(*byte),
            _ => tokens.push(vec![*byte]),
        }
        in_string ^= *byte == b'"';
    }
    tokens
}

struct Dice(Pcg32);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0.next_u32() as usize % end.max(1)
    }

    fn byte(&mut self) -> u8 {
        self.0.next_u32().to_le_bytes()[0]
    }

    fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }
}
