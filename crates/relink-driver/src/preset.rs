//! The configuration of a link, combined from the application's settings and a preset.

use relink::policy::TokenPlacement;
use relink::protocol::Conversation;
use relink::{ConfigError, Plain, Protocol, SessionConfig};

use crate::builder::BuildError;

/// A wire protocol with the settings that belong to it.
pub(crate) struct Preset {
    pub(crate) protocol: Box<dyn Protocol + Send>,
    pub(crate) placement: TokenPlacement,
    pub(crate) config: SessionConfig,
    /// Adapts the application's own configuration.
    pub(crate) adapt: fn(SessionConfig) -> SessionConfig,
}

/// A change of single settings.
type Setting = Box<dyn FnOnce(&mut SessionConfig) -> Result<(), ConfigError> + Send + Sync>;

/// A configuration under construction; the order of the calls does not matter.
#[derive(Default)]
pub(crate) struct Configured {
    pub(crate) own: Option<SessionConfig>,
    pub(crate) preset: Option<Preset>,
    /// What a plain WebSocket says.
    pub(crate) conversation: Option<Conversation>,
    /// In the order of the calls, on top of the other two.
    pub(crate) settings: Vec<Setting>,
}

/// The result.
pub(crate) struct Made {
    pub(crate) config: SessionConfig,
    pub(crate) protocol: Box<dyn Protocol + Send>,
    pub(crate) placement: TokenPlacement,
}

impl Default for Preset {
    /// A plain WebSocket.
    fn default() -> Self {
        Self {
            protocol: Box::new(Plain::default()),
            placement: TokenPlacement::default(),
            config: SessionConfig::default(),
            adapt: |own| own,
        }
    }
}

impl Configured {
    /// `protocol` is the application's own, if it has one.
    pub(crate) fn make(
        self,
        protocol: Option<Box<dyn Protocol + Send>>,
    ) -> Result<Made, BuildError> {
        let Preset { protocol: usual, placement, config, adapt } = self.preset.unwrap_or_default();
        let is_plain = protocol.is_none() && usual.is_transparent();
        if self.conversation.is_some() && !is_plain {
            return Err(BuildError::Conflict(
                "on_open(), heartbeat_text() and confirm() are for a plain WebSocket: with relink_v1(), profile() \
                 or protocol(), the protocol says what is sent",
            ));
        }
        let conversation = self.conversation.map(|it| Box::new(it) as _);
        let protocol = protocol.or(conversation).unwrap_or(usual);
        let mut config = self.own.map_or(config, adapt);
        self.settings.into_iter().try_for_each(|set| set(&mut config))?;
        Ok(Made { config, protocol, placement })
    }
}
