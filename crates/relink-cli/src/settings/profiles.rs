//! The profiles: named sets of settings to start from, with what they speak.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use relink::profile::Profile;

/// Reads the name of a profile.
pub(crate) fn parser() -> impl TypedValueParser<Value = &'static Profile> {
    let names = relink_profiles::ALL
        .iter()
        .map(|profile| PossibleValue::new(profile.name).help(profile.about));
    PossibleValuesParser::new(names)
        .map(|name| relink_profiles::by_name(&name).unwrap_or(&relink_profiles::DEFAULT))
}
