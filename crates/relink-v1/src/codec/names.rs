//! The names and numbers of fields and frames: names in JSON, numbers in CBOR. `docs/protocol.md`
//! has the same tables.

/// An enum whose variants have a name and a number.
macro_rules! names {
    ($(#[$outer:meta])* $name:ident { $( $variant:ident = $number:literal $text:literal, )* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::codec) enum $name { $( $variant = $number, )* }

        impl $name {
            /// All names, for errors.
            pub(in crate::codec) const NAMES: &'static [&'static str] = &[$( $text, )*];

            pub(in crate::codec) const fn name(self) -> &'static str {
                match self { $( Self::$variant => $text, )* }
            }

            pub(in crate::codec) const fn number(self) -> u8 {
                match self { $( Self::$variant => $number, )* }
            }

            pub(in crate::codec) fn from_name(name: &str) -> Option<Self> {
                match name { $( $text => Some(Self::$variant), )* _ => None }
            }

            pub(in crate::codec) const fn from_number(number: u64) -> Option<Self> {
                match number { $( $number => Some(Self::$variant), )* _ => None }
            }
        }
    };
}

names! {
    /// A field, with one meaning and one type in every frame. Those of frequent frames fit into one
    /// byte of CBOR.
    Key {
        Type = 0 "type",
        Serial = 1 "serial",
        Channel = 2 "channel",
        Text = 3 "text",
        Base64 = 4 "base64",
        Offset = 5 "offset",
        Nonce = 6 "nonce",
        Sent = 7 "sent",
        Token = 8 "token",
        Resume = 9 "resume",
        Session = 10 "session",
        Position = 11 "position",
        Epoch = 12 "epoch",
        Since = 13 "since",
        Presence = 14 "presence",
        Resumed = 15 "resumed",
        Refused = 16 "refused",
        Received = 17 "received",
        Rejected = 18 "rejected",
        Recovered = 19 "recovered",
        Member = 20 "member",
        User = 21 "user",
        Join = 22 "join",
        Info = 23 "info",
        Members = 24 "members",
        Problem = 25 "problem",
        Name = 26 "name",
        Detail = 27 "detail",
        RetryAfter = 28 "retry_after_ms",
        More = 29 "more",
        MaxMessage = 30 "max_message",
    }
}

names! {
    /// The client's frames.
    ClientKind {
        Hello = 1 "hello",
        Message = 2 "message",
        Subscribe = 3 "subscribe",
        Unsubscribe = 4 "unsubscribe",
        Heartbeat = 5 "heartbeat",
        Renew = 6 "renew",
    }
}

names! {
    /// The server's frames. No number is used in both directions.
    ServerKind {
        Welcome = 7 "welcome",
        Ack = 8 "ack",
        Rejected = 9 "rejected",
        Publication = 10 "publication",
        Subscribed = 11 "subscribed",
        Unsubscribed = 12 "unsubscribed",
        Members = 13 "members",
        Joined = 14 "joined",
        Left = 15 "left",
        HeartbeatAck = 16 "heartbeat_ack",
        GoingAway = 17 "going_away",
        Error = 18 "error",
    }
}
