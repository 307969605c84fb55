//! `--token-command`: a token from a program of the user's, run for every attempt. What it prints is never shown.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use relink::{HumanDuration, Token};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// Far above any token; a command that prints more is not one that prints a token.
const LONGEST: u64 = 64 << 10;

/// Why there is no token. The texts are shown to people, so nothing of the command or its output is in them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token command cannot be run: {0}")]
    Run(#[from] io::Error),
    #[error("the token command ended with {0}")]
    Status(ExitStatus),
    #[error("the token command printed nothing")]
    Nothing,
    #[error("the token command printed something that is no token: it must be one line of plain characters")]
    NoToken,
    #[error(
        "the token command printed JSON, but not like {{\"token\": \"…\", \"expires_in\": 3600}} (seconds, or \"1h\")"
    )]
    Json,
}

/// Runs the command and reads its token: the trimmed output, or JSON with `token` and `expires_in`.
pub(crate) async fn fetch(command: String) -> Result<Token, TokenError> {
    // Dropped when the core has waited long enough, and the command is ended with it.
    let mut child = Command::new("sh")
        .args(["-c", &command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LONGEST).read_to_end(&mut output).await?;
    }
    let status = child.wait().await?;
    if !status.success() {
        return Err(TokenError::Status(status));
    }
    parse(&output)
}

#[derive(Deserialize)]
struct Answer {
    token: String,
    expires_in: Option<Lifetime>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Lifetime {
    Seconds(u32),
    Text(String),
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
        Some(Lifetime::Seconds(seconds)) => token.with_expires_in(Duration::from_secs(seconds.into())),
        Some(Lifetime::Text(text)) => {
            let HumanDuration(expires_in) = text.parse().map_err(|_| TokenError::Json)?;
            token.with_expires_in(expires_in)
        }
    })
}

/// What can stand in a header. Anything else would end the link for good as a request that cannot be sent.
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
        assert_eq!((token.secret.expose(), token.expires_in), ("abc", Some(Duration::from_secs(90))));
        let token = parse(br#"{"token": "abc", "expires_in": "1h"}"#).unwrap();
        assert_eq!(token.expires_in, Some(Duration::from_secs(3600)));
    }

    #[test]
    fn what_is_no_token_is_not_repeated_in_the_error() {
        for output in ["", "two\nlines secret", "{\"tok\": \"secret\"}", "{\"token\": \"\"}", "secret\u{7}"] {
            let error = parse(output.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
