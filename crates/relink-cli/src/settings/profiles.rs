//! The profiles: named sets of settings to start from.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use relink::SessionConfig;

/// A named set of settings.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) name: &'static str,
    about: &'static str,
    pub(crate) config: fn() -> SessionConfig,
}

/// All of them; the first one is used where none is named.
pub(crate) static PROFILES: [Profile; 1] = [Profile {
    name: "default",
    about: "relink's own defaults: a plain WebSocket that stays up",
    config: SessionConfig::default,
}];

/// Reads the name of a profile.
pub(crate) fn parser() -> impl TypedValueParser<Value = &'static Profile> {
    let names = PROFILES.iter().map(|profile| PossibleValue::new(profile.name).help(profile.about));
    PossibleValuesParser::new(names).map(|name| by_name(&name))
}

fn by_name(name: &str) -> &'static Profile {
    PROFILES.iter().find(|profile| profile.name == name).unwrap_or(&PROFILES[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_found_by_its_name_and_can_work() {
        for profile in &PROFILES {
            assert_eq!(by_name(profile.name).name, profile.name);
            assert_eq!((profile.config)().validate(), Ok(()));
        }
    }
}
