//! The picture.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use relink::link::{Indicator, Status};
use relink::{ClosedReason, Instant};

use super::screen::Screen;

/// Draws the whole picture. What others wrote cannot move the cursor: control characters are left
/// out.
pub fn draw(screen: &Screen, now: Instant, frame: &mut Frame<'_>) {
    let width = frame.area().width.into();
    let banner = banner(screen, now).map(|(words, style)| {
        let lines: Vec<_> = words.iter().flat_map(|words| wrapped(words, width)).collect();
        (lines, style)
    });
    let height = banner.as_ref().map_or(0, |(lines, _)| lines.len().try_into().unwrap_or(u16::MAX));
    let [head, notice, log, help] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(height),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());

    frame.render_widget(Paragraph::new(status(screen)), head);
    if let Some((lines, style)) = banner {
        frame.render_widget(Paragraph::new(lines).style(style), notice);
    }
    let lines: Vec<_> =
        screen.log.iter().take(log.height.into()).map(|line| Line::from(&**line)).collect();
    frame.render_widget(Paragraph::new(lines), log);
    frame.render_widget(
        Paragraph::new(keys(screen)).style(Style::new().add_modifier(Modifier::DIM)),
        help,
    );
}

fn status(screen: &Screen) -> Line<'static> {
    let color = match screen.color {
        Indicator::Good => Color::Green,
        Indicator::Neutral => Color::Yellow,
        Indicator::Bad => Color::Red,
    };
    Line::from(vec![
        Span::styled("● ", Style::new().fg(color)),
        Span::styled(screen.status.name(), Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!("  {}", screen.address)),
    ])
}

/// What stands out, from the worst to the mildest.
fn banner(screen: &Screen, now: Instant) -> Option<(Vec<String>, Style)> {
    let on = |background, words| Some((words, Style::new().fg(Color::Black).bg(background)));
    if let Some(reason) = screen.ended {
        return match reason {
            ClosedReason::Requested => None,
            ClosedReason::Stopped { .. } | ClosedReason::GaveUp(_) | ClosedReason::DriverGone => {
                on(Color::Red, vec![format!("Disconnected: {reason}."), reason.advice().to_owned()])
            }
        };
    }
    let next = match screen.countdown(now) {
        Some(seconds) => format!("next attempt in {seconds} s"),
        None => "trying now".to_owned(),
    };
    if screen.stuck {
        let still = if screen.status == Status::Connecting { "connect" } else { "reconnect" };
        return on(
            Color::Yellow,
            vec![
                format!("Still trying to {still}: {next}."),
                "This takes long. Press r to retry now.".to_owned(),
            ],
        );
    }
    if let Some(advice) = &screen.advice {
        return on(Color::Yellow, vec![advice.clone()]);
    }
    screen.banner.then(|| on(Color::Yellow, vec![format!("Reconnecting: {next}.")]))?
}

/// Wrapped between words, so that nothing is cut off.
fn wrapped(words: &str, width: usize) -> Vec<Line<'static>> {
    let mut lines = vec![String::new()];
    for word in words.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if line.is_empty() || Line::from(&*longer).width() <= width {
            *line = longer;
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.into_iter().map(Line::from).collect()
}

fn keys(screen: &Screen) -> &'static str {
    if screen.has_ended() { "q quit" } else { "m say something   r retry now   q quit" }
}
