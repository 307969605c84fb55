//! A configuration file, applied to a profile: settings that the file does not name keep the
//! profile's values.

use std::fs;
use std::path::Path;

use relink::policy::CloseRule;
use relink::{ClosePolicy, SessionConfig};
use serde::Deserialize;
use toml::{Table, Value};

use crate::exit::Mistake;

/// Settings that are enums with parameters: they are replaced as a whole.
const CHOICES: [&str; 2] = ["curve", "jitter"];

/// The profile with the file's settings laid over it.
pub(crate) fn lay_over(profile: SessionConfig, path: &Path) -> Result<SessionConfig, Mistake> {
    let name = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Mistake::usage(format!("{name} cannot be read: {error}")))?;
    let config = parse_over(profile, &text)
        .map_err(|problem| Mistake::usage(format!("{name} is not a configuration: {problem}")))?;
    config.validate().map_err(|error| {
        let field = error.field().to_string();
        let is_of_link = !field.starts_with("outbox.") && !field.starts_with("subscriptions.");
        let table = if is_of_link { "link." } else { "" };
        Mistake::usage(format!("{name} cannot work: {table}{error}"))
    })?;
    Ok(config)
}

fn parse_over(profile: SessionConfig, text: &str) -> Result<SessionConfig, String> {
    // Parsed alone first: only then does an error have its line.
    let _: SessionConfig = toml::from_str(text).map_err(|error| error.to_string())?;
    merge(profile, text).map_err(|error| error.to_string())
}

fn merge(profile: SessionConfig, text: &str) -> Result<SessionConfig, Box<dyn std::error::Error>> {
    let mut above: Table = toml::from_str(text)?;
    let edits = above
        .get_mut("link")
        .and_then(Value::as_table_mut)
        .and_then(|link| link.remove("close_policy"));
    let mut below = Table::try_from(profile)?;
    merge_tables(&mut below, above);
    let mut config: SessionConfig = below.try_into()?;
    // A policy is the profile's table with edits in front of it; a file has only edits.
    config.link.close_policy = profile.link.close_policy;
    if let Some(edits) = edits {
        edits.try_into::<Edits>()?.apply(&mut config.link.close_policy)?;
    }
    Ok(config)
}

fn merge_tables(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above))
                if !CHOICES.contains(&key.as_str()) =>
            {
                merge_tables(below, above);
            }
            (_, value) => drop(below.insert(key, value)),
        }
    }
}

/// `[link.close_policy]` as it is written.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Edits {
    close: Vec<CloseRule>,
    status: Vec<CloseRule>,
}

impl Edits {
    fn apply(self, policy: &mut ClosePolicy) -> Result<(), relink::ConfigError> {
        self.close
            .iter()
            .try_for_each(|rule| policy.set_close(rule.from..=rule.to, rule.verdict))?;
        self.status.iter().try_for_each(|rule| policy.set_status(rule.from..=rule.to, rule.verdict))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use relink::policy::Curve;
    use relink::{CloseCode, Verdict};

    use super::*;

    /// A profile that differs from the defaults in every way a file could lose.
    fn profile() -> SessionConfig {
        static CODES: [CloseRule; 1] = [CloseRule::new(4500, Verdict::RetryNow, "for this test")];
        let mut config = SessionConfig::default();
        config.link.backoff.cap = Duration::from_secs(7);
        config.link.backoff.curve = Curve::Fixed { delay: Duration::from_secs(3) };
        config.link.budget.max_attempts = Some(9);
        config.link.close_policy = ClosePolicy::new(&CODES, &relink::policy::HTTP_STATUSES);
        config.outbox.max_messages = 5;
        config
    }

    #[test]
    fn what_a_file_does_not_name_stays_as_the_profile_has_it() {
        assert_eq!(parse_over(profile(), "").unwrap(), profile());
        assert_eq!(parse_over(SessionConfig::default(), "").unwrap(), SessionConfig::default());
        let config = parse_over(profile(), "link.backoff.floor = '1s'").unwrap();
        assert_eq!(config.link.backoff.floor, Duration::from_secs(1));
        assert_eq!(config.link.backoff.cap, Duration::from_secs(7));
        assert_eq!(config.outbox.max_messages, 5);
    }

    #[test]
    fn a_choice_is_replaced_as_a_whole() {
        let text = "[link.backoff]\ncurve = { linear = { initial = '1s', step = '2s' } }\n";
        let config = parse_over(profile(), text).unwrap();
        let (initial, step) = (Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!(config.link.backoff.curve, Curve::Linear { initial, step });
    }

    #[test]
    fn a_files_close_codes_stand_in_front_of_the_profiles() {
        let text = "[[link.close_policy.close]]\nfrom = 4020\nto = 4020\nverdict = 'retry-now'\n";
        let policy = parse_over(profile(), text).unwrap().link.close_policy;
        assert_eq!(policy.on_close(CloseCode(4020)), Verdict::RetryNow);
        assert_eq!(
            policy.on_close(CloseCode(4500)),
            Verdict::RetryNow,
            "the profile's own table is still there"
        );
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let problem = parse_over(profile(), "[link.backoff]\nflor = '1s'\n").unwrap_err();
        assert!(
            problem.contains("line 2") && problem.contains("unknown field `flor`"),
            "{problem}"
        );
        let problem = parse_over(profile(), "[link.backoff]\nfloor = '30'\n").unwrap_err();
        assert!(problem.contains("line 2") && problem.contains("500ms, 30s, 2m"), "{problem}");
    }
}
