//! `--token-command`: a token from a program of the user's, run for every attempt. What it prints
//! is never shown.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use relink::Token;
use relink::time::HumanDuration;
#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// How many bytes a command may print: far above any token.
const LONGEST: u64 = 64 << 10;

/// Why there is no token. The texts are displayed, so they contain nothing of the command or its
/// output.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token command cannot be run: {0}")]
    Run(#[from] io::Error),
    #[error("the token command ended with {0}")]
    Status(ExitStatus),
    #[error("the token command printed nothing")]
    Nothing,
    #[error("the token command printed more than {LONGEST} bytes")]
    TooLong,
    #[error(
        "the token command printed something that is no token: it must be one line of plain characters"
    )]
    NoToken,
    #[error(
        "the token command printed JSON, but not like {{\"token\": \"…\", \"expires_in\": 3600}}"
    )]
    Json,
    #[error(
        "the token command printed JSON with an `expires_in` that is neither a number of seconds from 0 to {} nor a \
         text like \"1h\"",
        u32::MAX
    )]
    Lifetime,
}

/// Runs the command and reads its token: the trimmed output, or JSON with `token` and `expires_in`.
///
/// Dropping the future, when it times out or the program ends, kills all that the command has
/// started.
pub(crate) async fn fetch(command: String) -> Result<Token, TokenError> {
    let mut running = Running::start(&command)?;
    let mut output = Vec::new();
    if let Some(stdout) = running.shell.stdout.take() {
        stdout.take(LONGEST + 1).read_to_end(&mut output).await?;
    }
    if output.len() as u64 > LONGEST {
        return Err(TokenError::TooLong);
    }
    let status = running.shell.wait().await?;
    if !status.success() {
        return Err(TokenError::Status(status));
    }
    parse(&output)
}

/// A command and the processes that it has started. Dropping it kills them all, including those in
/// the background; only processes that left the group, as daemons do, keep running. (Outside Unix:
/// the command alone.)
struct Running {
    shell: Child,
    #[cfg(unix)]
    group: Option<Pid>,
}

impl Running {
    fn start(command: &str) -> io::Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        #[cfg(unix)]
        shell.process_group(0);
        let shell = shell.spawn()?;
        Ok(Self {
            #[cfg(unix)]
            group: shell.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)),
            shell,
        })
    }
}

#[cfg(unix)]
impl Drop for Running {
    fn drop(&mut self) {
        // Fails if nothing of it is left.
        _ = self.group.map(|group| kill_process_group(group, Signal::KILL));
    }
}

#[derive(Deserialize)]
struct Answer {
    token: String,
    expires_in: Option<serde_json::Value>,
}

fn parse(output: &[u8]) -> Result<Token, TokenError> {
    let output = std::str::from_utf8(output).map_err(|_| TokenError::NoToken)?.trim();
    if output.is_empty() {
        return Err(TokenError::Nothing);
    }
    if !output.starts_with('{') {
        return plain(output);
    }
    let answer: Answer = serde_json::from_str(output).map_err(|_| TokenError::Json)?;
    let token = plain(&answer.token)?;
    Ok(match answer.expires_in {
        None => token,
        Some(value) => token.with_expires_in(lifetime(&value).ok_or(TokenError::Lifetime)?),
    })
}

/// Seconds, or a text with a unit.
fn lifetime(value: &serde_json::Value) -> Option<Duration> {
    let seconds = value.as_u64().and_then(|seconds| u32::try_from(seconds).ok());
    seconds
        .map(|seconds| Duration::from_secs(seconds.into()))
        .or_else(|| value.as_str()?.parse().ok().map(|HumanDuration(time)| time))
}

/// A token that can be sent in a header. Any other would end the link for good as an invalid
/// request.
fn plain(token: &str) -> Result<Token, TokenError> {
    let fits = !token.is_empty() && token.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if fits { Ok(Token::from(token)) } else { Err(TokenError::NoToken) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_or_json() {
        let token = parse(b"  abc.def \n").unwrap();
        assert_eq!((token.secret.expose(), token.expires_in), ("abc.def", None));
        let token = parse(br#"{"token": "abc", "expires_in": 90, "scope": "all"}"#).unwrap();
        assert_eq!(
            (token.secret.expose(), token.expires_in),
            ("abc", Some(Duration::from_secs(90)))
        );
        let token = parse(br#"{"token": "abc", "expires_in": "1h"}"#).unwrap();
        assert_eq!(token.expires_in, Some(Duration::from_secs(3600)));
    }

    #[test]
    fn a_lifetime_that_is_none_is_told_apart() {
        for lifetime in [
            "-1",
            "4294967296",
            "1.5",
            "1e300",
            "18446744073709551616",
            "true",
            "[]",
            "\"3600\"",
            "\"-1s\"",
        ] {
            let error =
                parse(format!("{{\"token\": \"a\", \"expires_in\": {lifetime}}}").as_bytes());
            assert!(matches!(error, Err(TokenError::Lifetime)), "{lifetime}: {error:?}");
        }
    }

    #[test]
    fn what_is_no_token_is_not_repeated_in_the_error() {
        for output in
            ["", "two\nlines secret", "{\"tok\": \"secret\"}", "{\"token\": \"\"}", "secret\u{7}"]
        {
            let error = parse(output.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
