//! Colors. `anstream` removes them if the output is not a terminal, or `NO_COLOR` is set.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};
use clap::builder::Styles;

pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const WAIT: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const CLIENT: Style = AnsiColor::Cyan.on_default();
pub(crate) const SERVER: Style = AnsiColor::Magenta.on_default();

/// The help's own colors.
pub(crate) const HELP: Styles = Styles::styled()
    .header(STRONG)
    .usage(STRONG)
    .literal(CLIENT)
    .placeholder(FAINT)
    .error(BAD)
    .valid(GOOD)
    .invalid(WAIT);

/// The text in this style, and the usual one after it.
pub(crate) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}
