//! The subprotocol `relink.v1`: its frames on the wire.

use relink::v1::{Encoding, ServerFrame};

#[test]
fn what_one_side_writes_the_other_reads() {
    let frame = ServerFrame::Ack { serial: 7 };
    for encoding in [Encoding::Json, Encoding::Cbor] {
        assert_eq!(ServerFrame::decode(&frame.encode(encoding)), Ok((frame.clone(), encoding)));
    }
}
