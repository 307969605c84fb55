//! The configuration of a link, combined from the application's settings and a preset.

use relink::policy::TokenPlacement;
use relink::{Plain, Protocol, SessionConfig};

/// A wire protocol with the settings that belong to it.
pub(crate) struct Preset {
    pub(crate) protocol: Box<dyn Protocol + Send>,
    pub(crate) placement: TokenPlacement,
    pub(crate) config: SessionConfig,
    /// Adapts the application's own configuration.
    pub(crate) adapt: fn(SessionConfig) -> SessionConfig,
}

/// A configuration under construction; the order of the calls does not matter.
#[derive(Default)]
pub(crate) struct Configured {
    pub(crate) own: Option<SessionConfig>,
    pub(crate) preset: Option<Preset>,
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
    pub(crate) fn make(self) -> Made {
        let Preset { protocol, placement, config, adapt } = self.preset.unwrap_or_default();
        Made { config: self.own.map_or(config, adapt), protocol, placement }
    }
}
