//! `relink schedule`: the delays of the next attempts, as a table with a picture.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use relink::LinkConfig;
use relink::policy::{Schedule, Window};
use relink::time::HumanDuration;

use crate::exit::{Exit, Mistake};
use crate::output::unwritten;
use crate::settings::{BackoffArgs, BaseArgs, settings};
use crate::style::{CLIENT, FAINT, STRONG, paint};
use crate::text::millis;
use crate::width::{columns, wrap};

/// The options of `relink schedule`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relink schedule
  relink schedule --backoff-initial 500ms --attempts 12
  relink schedule --config service.toml --seed 7
  relink schedule --profile deepstream
  relink schedule --json | jq -c '[.attempt, .longest_ms]'

The table is for a stable connection that was lost to a server that stays away. Each delay is drawn between its \
shortest and its longest; one draw is shown as an example. The same seed draws the same.")]
pub(crate) struct Args {
    #[command(flatten)]
    base: BaseArgs,

    #[command(flatten)]
    backoff: BackoffArgs,

    /// How many attempts
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    attempts: u32,

    /// The seed of the random numbers; the same seed gives the same example [default: random]
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    seed: Option<u32>,

    /// Print each attempt as JSON, one object a line, instead of the table (docs/json-lines.md)
    #[arg(long)]
    json: bool,
}

/// The table's columns, with their widths; on a narrow terminal the last ones are left out.
const COLUMNS: [(&str, usize); 5] =
    [("attempt", 7), ("shortest", 9), ("longest", 9), ("example", 9), ("after", 9)];
/// The largest and the smallest width of the picture beside the table. Without room for the
/// smallest it is left out.
const BAR: (usize, usize) = (31, 10);

/// One attempt.
struct Row {
    window: Window,
    drawn: Duration,
    /// From the loss to this attempt, with the drawn delays and attempts that take no time.
    after: Duration,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Mistake> {
    let link = settings(&args.base, None, &args.backoff, None)?.link;
    let seed = args.seed.unwrap_or_else(rand::random);
    let rows = rows(&link, args.attempts, seed);
    let page = if args.json {
        rows.iter().zip(1..).map(|(row, number)| json(row, number, seed)).collect()
    } else {
        page(&link, &rows, seed, columns()).map_err(Mistake::failed)?
    };
    anstream::stdout().write_all(page.as_bytes()).or_else(unwritten)?;
    Ok(Exit::Done)
}

/// The attempts until the link gives up.
fn rows(link: &LinkConfig, attempts: u32, seed: u32) -> Vec<Row> {
    let mut rng = Pcg64::seed_from_u64(seed.into());
    let (mut schedule, mut after) = (Schedule::default(), Duration::ZERO);
    let attempts = attempts.min(link.budget.max_attempts.unwrap_or(u32::MAX));
    let mut rows = Vec::new();
    for number in 0..attempts {
        let is_first = number == 0 && link.backoff.first.is_some();
        let window = if is_first {
            link.backoff.first_window()
        } else {
            schedule.next_window(&link.backoff)
        };
        let drawn = window.draw(&mut rng);
        schedule.record(drawn);
        after = after.saturating_add(drawn);
        if link.budget.max_elapsed.is_some_and(|most| after >= most) {
            break;
        }
        rows.push(Row { window, drawn, after });
    }
    rows
}

fn page(
    link: &LinkConfig,
    rows: &[Row],
    seed: u32,
    width: usize,
) -> Result<String, std::fmt::Error> {
    let scale = rows.iter().map(|row| row.window.to).max().unwrap_or_default();
    let mut page = String::new();
    writeln!(page, "{}", paint(STRONG, cells(COLUMNS.map(|(name, _)| name.to_owned()), width)))?;
    let table = cells(COLUMNS.map(|_| String::new()), width).len() + 2;
    let (most, least) = BAR;
    let room = Some(width.saturating_sub(table).min(most)).filter(|room| *room >= least);
    for (Row { window, drawn, after }, number) in rows.iter().zip(1..) {
        let [from, to, drawn_text, after] = [window.from, window.to, *drawn, *after].map(seconds);
        let row = cells([number.to_string(), from, to, drawn_text, after], width);
        let picture = room
            .map_or_else(String::new, |room| format!("  {}", bar(*window, *drawn, scale, room)));
        writeln!(page, "{row}{picture}")?;
    }
    if let Some(room) = room {
        let axis = format!("0{:>width$}", seconds(scale), width = room - 1);
        writeln!(page, "{:table$}{}", "", paint(FAINT, axis))?;
    }
    writeln!(page)?;
    for line in notes(link, rows.len(), seed).iter().flat_map(|note| wrap(note, width)) {
        writeln!(page, "{line}")?;
    }
    Ok(page)
}

/// A line of JSON, in whole milliseconds.
fn json(Row { window, drawn, after }: &Row, number: u32, seed: u32) -> String {
    let line = serde_json::json!({
        "attempt": number,
        "shortest_ms": millis(window.from),
        "longest_ms": millis(window.to),
        "example_ms": millis(*drawn),
        "after_ms": millis(*after),
        "seed": seed,
    });
    format!("{line}\n")
}

/// The cells of one row that fit, each as wide as its column.
fn cells(texts: [String; COLUMNS.len()], width: usize) -> String {
    let mut row = String::new();
    for (text, (_, column)) in texts.iter().zip(COLUMNS) {
        let gap = usize::from(!row.is_empty());
        if row.len() + gap + column > width {
            break;
        }
        row.push_str(&format!("{:gap$}{text:>column$}", ""));
    }
    row
}

fn notes(link: &LinkConfig, rows: usize, seed: u32) -> Vec<String> {
    let budget = &link.budget;
    let last = budget.max_attempts.filter(|most| usize::try_from(*most) == Ok(rows));
    let attempts = last
        .map(|most| format!("Then relink gives up: {most} attempts failed (budget.max_attempts)."));
    let elapsed = budget.max_elapsed.map(|most| {
        format!("After {} without a link it gives up (budget.max_elapsed).", HumanDuration(most))
    });
    let always = [
        "A hint from the server, or a close code with a floor, can make a delay longer.".to_owned(),
        format!("Seed {seed}: --seed {seed} draws this example again."),
    ];
    attempts.into_iter().chain(elapsed).chain(always).collect()
}

/// `─` for the window, `●` for the drawn delay.
fn bar(window: Window, drawn: Duration, scale: Duration, room: usize) -> String {
    let last = room - 1;
    let place = |time: Duration| {
        let part = if scale.is_zero() { 0.0 } else { time.as_secs_f64() / scale.as_secs_f64() };
        // The part is between 0 and 1, so the place is on the bar.
        ((part * last as f64).round() as usize).min(last)
    };
    let (from, to, drawn) = (place(window.from), place(window.to), place(drawn));
    let dashes = |count: usize| "─".repeat(count);
    format!(
        "{}{}{}{}",
        " ".repeat(from),
        paint(FAINT, dashes(drawn - from)),
        paint(CLIENT, "●"),
        paint(FAINT, dashes(to - drawn))
    )
}

/// Aligned: always two decimals, and at most two digits before them, after rounding.
fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (number, unit) = match seconds {
        ..99.995 => (seconds, "s"),
        ..5_999.7 => (seconds / 60.0, "min"),
        ..359_982.0 => (seconds / 3_600.0, "h"),
        _ => (seconds / 86_400.0, "d"),
    };
    format!("{number:.2} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_span_is_wider_than_its_column() {
        for (millis, words) in [
            (0, "0.00 s"),
            (99_994, "99.99 s"),
            (99_996, "1.67 min"),
            (5_999_600, "99.99 min"),
            (5_999_900, "1.67 h"),
            (359_981_000, "99.99 h"),
            (359_999_000, "4.17 d"),
        ] {
            assert_eq!(seconds(Duration::from_millis(millis)), words);
        }
    }
}
