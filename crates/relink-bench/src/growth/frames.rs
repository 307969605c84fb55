//! The frames of `relink.v1`, which do not grow.

use std::hint::black_box;

use relink_v1::{Codec, Encoding, ServerFrame};

use super::measured;

const FRAMES: u64 = 1000;

pub(super) fn run() {
    for (name, encoding) in [("read-cbor", Encoding::Cbor), ("read-json", Encoding::Json)] {
        let frame = publication().encode(encoding);
        measured(name, FRAMES, || {
            for _ in 0..FRAMES {
                black_box(ServerFrame::decode(black_box(&frame))).ok();
            }
        });
    }
    for (name, encoding) in [("write-cbor", Encoding::Cbor), ("write-json", Encoding::Json)] {
        let frame = publication();
        measured(name, FRAMES, || {
            for _ in 0..FRAMES {
                black_box(black_box(&frame).encode(encoding));
            }
        });
    }
}

fn publication() -> ServerFrame {
    let (channel, payload) = (Some("lobby".into()), "x".repeat(64).into());
    ServerFrame::Publication { channel, offset: 1000, payload }
}
