//! The settings of a link: a profile, a file laid over it, flags over both.

mod file;
mod profiles;
mod protocol;

use std::path::PathBuf;
use std::time::Duration;

use relink::SessionConfig;
use relink::policy::Curve;
use relink::time::{HumanDuration, ParseDurationError};

use crate::exit::Mistake;
use relink::profile::Profile;

pub(crate) use protocol::{Protocol, ProtocolArgs};

/// Where the settings start.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct BaseArgs {
    /// The named settings to start from, with what goes over the wire: relink's own, or how a real
    /// system does it
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = profiles::parser())]
    pub(crate) profile: &'static Profile,

    /// A file of settings, laid over the profile: `link.backoff.cap = "1m"` and so on
    ///
    /// It is TOML, with the tables `[link]`, `[link.backoff]`, `[link.heartbeat]`, `[link.budget]`,
    /// `[link.credentials]`, `[link.surface]`, `[link.close_policy]` and `[outbox]`; the
    /// documentation of relink's SessionConfig has every field.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// When to try again.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "When to try again (durations as 500ms, 30s, 2m)")]
pub(crate) struct BackoffArgs {
    /// The first delay, before chance shortens it; later ones grow [default: 1s500ms]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration)]
    backoff_initial: Option<Duration>,

    /// The longest delay [default: 20s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration)]
    backoff_max: Option<Duration>,

    /// Give up after this many failures (failed attempts, links lost early) since the link was last
    /// stable, or `off` [default: off]
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, value_parser = limit)]
    max_attempts: Option<OrOff<u32>>,
}

/// What else a link can be told.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The life of a connection")]
pub(crate) struct LinkArgs {
    /// A ping this often, to find a dead link, or `off` [default: 30s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration_or_off)]
    heartbeat_interval: Option<OrOff<Duration>>,

    /// How long an answer to a ping may take [default: 10s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration)]
    heartbeat_timeout: Option<Duration>,

    /// How long an attempt may take, from name lookup to WebSocket handshake [default: 10s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration)]
    connect_timeout: Option<Duration>,

    /// A connection that lasted this long is stable: failures before it are forgotten [default: 5s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration)]
    stable_after: Option<Duration>,

    /// How many messages may wait to go out; then stdin is not read [default: 1024]
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    queue_max: Option<usize>,
}

/// A value, or the word `off`.
#[derive(Debug, Clone, Copy)]
struct OrOff<T>(Option<T>);

pub(crate) fn duration(text: &str) -> Result<Duration, ParseDurationError> {
    text.parse().map(|HumanDuration(duration)| duration)
}

/// A duration that no configuration checks.
pub(crate) fn duration_up_to_a_year(text: &str) -> Result<Duration, String> {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let time = duration(text).map_err(|error| error.to_string())?;
    if time <= YEAR { Ok(time) } else { Err(format!("it must be at most {}", HumanDuration(YEAR))) }
}

fn duration_or_off(text: &str) -> Result<OrOff<Duration>, ParseDurationError> {
    if text == "off" {
        Ok(OrOff(None))
    } else {
        duration(text).map(|duration| OrOff(Some(duration)))
    }
}

fn limit(text: &str) -> Result<OrOff<u32>, String> {
    if text == "off" {
        return Ok(OrOff(None));
    }
    let limit = text.parse().map(|limit| OrOff(Some(limit)));
    limit.map_err(|_| format!("not a number from 1 to {}, nor `off`", u32::MAX))
}

/// The settings that these options make, checked.
pub(crate) fn settings(
    base: &BaseArgs,
    protocol: Option<Protocol>,
    backoff: &BackoffArgs,
    link: Option<&LinkArgs>,
) -> Result<SessionConfig, Mistake> {
    let mut config = (base.profile.config)();
    if let Some(protocol) = protocol {
        config = protocol.adapt(config);
    }
    if let Some(path) = &base.config {
        config = file::lay_over(config, path)?;
    }
    backoff.apply(&mut config)?;
    if let Some(link) = link {
        link.apply(&mut config);
    }
    config.validate().map_err(|error| match flag_of(&error.field().to_string()) {
        Some(flag) => Mistake::usage(format!("{flag} cannot work: {error}")),
        None => Mistake::usage(format!("the settings cannot work: {error}")),
    })?;
    Ok(config)
}

/// The flag that sets a field. Profile and file were checked before, so only a flag can have broken
/// it.
fn flag_of(field: &str) -> Option<&'static str> {
    const FLAGS: [(&str, &str); 8] = [
        ("backoff.curve", "--backoff-initial"),
        ("backoff.cap", "--backoff-max"),
        ("budget.max_attempts", "--max-attempts"),
        ("heartbeat.interval", "--heartbeat-interval"),
        ("heartbeat.timeout", "--heartbeat-timeout"),
        ("connect_timeout", "--connect-timeout"),
        ("stable_after", "--stable-after"),
        ("outbox.max_messages", "--queue-max"),
    ];
    FLAGS.iter().find(|(prefix, _)| field.starts_with(prefix)).map(|(_, flag)| *flag)
}

impl BackoffArgs {
    /// A short delay that was asked for by name is meant: it lowers the floor, too.
    fn apply(&self, config: &mut SessionConfig) -> Result<(), Mistake> {
        let backoff = &mut config.link.backoff;
        if let Some(wanted) = self.backoff_initial {
            lower(&mut backoff.floor, wanted);
            let problem = "--backoff-initial cannot work: the file's curve has no first delay";
            *first_delay(&mut backoff.curve).ok_or_else(|| Mistake::usage(problem))? = wanted;
        }
        if let Some(cap) = self.backoff_max {
            backoff.cap = cap;
            lower(&mut backoff.floor, cap);
            backoff.curve_cap = backoff.curve_cap.map(|curve_cap| curve_cap.min(cap));
        }
        if let Some(OrOff(limit)) = self.max_attempts {
            config.link.budget.max_attempts = limit;
        }
        Ok(())
    }
}

/// Makes room for a delay that is wanted, and for chance to halve it. Zero is never wanted, and
/// reported where it was asked for.
fn lower(floor: &mut Duration, wanted: Duration) {
    *floor = (wanted / 2).max(Duration::from_millis(1)).min(*floor);
}

fn first_delay(curve: &mut Curve) -> Option<&mut Duration> {
    match curve {
        Curve::Fixed { delay } => Some(delay),
        Curve::Linear { initial, .. }
        | Curve::Exponential { initial, .. }
        | Curve::Decorrelated { initial, .. } => Some(initial),
        Curve::Table(_) | _ => None,
    }
}

impl LinkArgs {
    fn apply(&self, config: &mut SessionConfig) {
        let set = |field: &mut Duration, flag: Option<Duration>| *field = flag.unwrap_or(*field);
        let link = &mut config.link;
        if let Some(OrOff(interval)) = self.heartbeat_interval {
            link.heartbeat.interval = interval;
        }
        set(&mut link.heartbeat.timeout, self.heartbeat_timeout);
        set(&mut link.connect_timeout, self.connect_timeout);
        set(&mut link.stable_after, self.stable_after);
        config.outbox.max_messages = self.queue_max.unwrap_or(config.outbox.max_messages);
    }
}
