//! The default tables of close codes and HTTP statuses, for the guide.

use std::fmt::Write;

use relink::policy::{CLOSE_CODES, CloseRule, HTTP_STATUSES};
use relink::{Verdict, policy::StopReason};

const BEGIN: &str = "<!-- generated from the code by `just diagram`: from here -->\n";
const END: &str = "<!-- generated from the code by `just diagram`: to here -->\n";

/// The page with its tables written anew.
pub(crate) fn render(page: &str) -> String {
    let (before, rest) = page.split_once(BEGIN).expect("the page says where its tables begin");
    let (_, after) = rest.split_once(END).expect("the page says where its tables end");
    let mut text = format!("{before}{BEGIN}");
    text.push_str("\n| the server closes with | relink | because |\n| --- | --- | --- |\n");
    CLOSE_CODES.iter().for_each(|rule| row(&mut text, rule));
    text.push_str("\n| it answers the handshake with | relink | because |\n| --- | --- | --- |\n");
    HTTP_STATUSES.iter().for_each(|rule| row(&mut text, rule));
    write!(text, "\n{END}{after}").expect("a text");
    text
}

fn row(text: &mut String, rule: &CloseRule) {
    let CloseRule { from, to, verdict, why } = rule;
    let codes = if from == to { from.to_string() } else { format!("other {from} to {to}") };
    writeln!(text, "| {codes} | {} | {why} |", words(*verdict)).expect("a text");
}

fn words(verdict: Verdict) -> String {
    match verdict {
        Verdict::Retry => "tries again".into(),
        Verdict::RetryNow => "tries again at once".into(),
        Verdict::RetrySlow { floor } => {
            format!("tries again, not before {} s", floor.as_secs())
        }
        Verdict::RefreshToken => "fetches a fresh token; **ends** if there is no provider".into(),
        Verdict::SwitchEndpoint => "tries the next address".into(),
        Verdict::Stop(reason) => format!("**ends**: {}", StopReason::name(reason)),
        other => panic!("{other:?} has no words"),
    }
}
