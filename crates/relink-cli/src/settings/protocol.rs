//! The wire format of a link, and what goes with it.

use clap::ValueEnum;
use relink::profile::Profile;
use relink::{Outgoing, SessionConfig, Subscription};
use relink_tokio::v1;
use relink_tokio::{Builder, Client};
use relink_v1::Encoding;

/// What client and server speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// Messages as they are
    Plain,
    /// Acknowledgements, resume, channels and presence (docs/protocol.md)
    #[value(name = "relink.v1")]
    RelinkV1,
}

impl Protocol {
    /// These settings, with what the protocol takes.
    pub(crate) fn adapt(self, config: SessionConfig) -> SessionConfig {
        match self {
            Self::Plain => config,
            Self::RelinkV1 => v1::adapt(config),
        }
    }
}

/// What is spoken, and on which channels.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "What to speak")]
pub(crate) struct ProtocolArgs {
    /// What client and server speak, in place of what the profile does; plain messages for the
    /// default one
    #[arg(long, value_name = "NAME", value_enum)]
    pub(crate) protocol: Option<Protocol>,

    /// Frames of relink.v1 as JSON text, or smaller, as CBOR
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Written::Json)]
    encoding: Written,

    /// A channel of relink.v1 to subscribe to; repeat it for more
    #[arg(long = "channel", value_name = "NAME")]
    channels: Vec<String>,

    /// The channel that lines from stdin are meant for; the server itself without it
    #[arg(long, value_name = "CHANNEL")]
    to: Option<String>,

    /// Be seen in the channels, with these words, and see who else is there
    #[arg(long, value_name = "WORDS")]
    presence: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Written {
    Json,
    Cbor,
}

impl ProtocolArgs {
    /// What is wrong with these options together.
    pub(crate) fn mistake(&self, profile: &Profile) -> Option<&'static str> {
        let channels = !self.channels.is_empty() || self.to.is_some() || self.presence.is_some();
        let is_plain = self.protocol == Some(Protocol::Plain)
            || (self.protocol.is_none() && profile.name == relink_profiles::DEFAULT.name);
        if channels && is_plain {
            return Some(
                "--channel, --to and --presence need --protocol relink.v1, or a profile that has channels",
            );
        }
        if self.presence.is_some() && self.channels.is_empty() {
            return Some("--presence needs a --channel to be seen in");
        }
        None
    }

    /// To be called before the configuration is set.
    pub(crate) fn apply(&self, builder: Builder, profile: &Profile) -> Builder {
        let encoding = match self.encoding {
            Written::Json => Encoding::Json,
            Written::Cbor => Encoding::Cbor,
        };
        match self.protocol {
            None => builder.profile(profile),
            Some(Protocol::Plain) => builder,
            Some(Protocol::RelinkV1) => builder.relink_v1(encoding),
        }
    }

    /// Subscribes to what was asked for.
    pub(crate) fn subscribe(&self, client: &Client) {
        for channel in &self.channels {
            let subscription = match &self.presence {
                Some(words) => Subscription::default().with_presence(words.as_str()),
                None => Subscription::default(),
            };
            client.subscribe(channel.as_str(), subscription);
        }
    }

    /// A line as a message.
    pub(crate) fn address(&self, line: String) -> Outgoing {
        let outgoing = Outgoing::from(line);
        match &self.to {
            Some(channel) => outgoing.on(channel.as_str()),
            None => outgoing,
        }
    }
}
