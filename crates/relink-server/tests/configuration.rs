//! Every setting of every crate: its bounds hold, files can have it, and `docs/configuration.md`
//! lists it.
//!
//! After a change that is meant: `RELINK_UPDATE=1 cargo test -p relink-server --test
//! configuration`.

use std::fmt::{Debug, Write as _};
use std::path::Path;
use std::time::Duration;

use relink::internal::Value;
use relink::internal::setting::{Bounds, Configuration, Field};
use relink::link::{Handshake, RetryAfter, StatusViewConfig};
use relink::policy::{BudgetConfig, CredentialsConfig, HeartbeatConfig};
use relink::session::{OutboxConfig, SubscriptionsConfig};
use relink::{Backoff, LinkConfig, SessionConfig};
use relink_driver::InboxLimits;
use relink_node::{AdmissionConfig, DrainConfig, HistoryConfig, LivenessConfig, NodeConfig};
use relink_profiles::PeerRestartConfig;
use relink_server::{DeflateConfig, ServerConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// The introduction of the page.
const INTRODUCTION: &str = "\
# Configuration

Every setting with its default, what is allowed, and why. Generated from the code by `just diagram`; `cargo test` compares.

Each configuration is a struct: start from `default()`, change fields with their `with_…` methods; `validate()` names the first field
that cannot work. With the feature `serde` it is also a table in a file. There a duration is text (`\"500ms\"`, `\"30s\"`, `\"1m30s\"`),
what may be off is `\"off\"`, and what is left out keeps its default. `relink connect --config` reads the tables `link`, `outbox` and
`subscriptions`.
";

/// A configuration: its name, its table in a file, its rows, and the number of bounds that were
/// tested.
struct Sheet {
    name: &'static str,
    krate: &'static str,
    table: &'static str,
    rows: Vec<Row>,
    edges: usize,
}

struct Row {
    field: &'static str,
    kind: &'static str,
    default: Json,
    bounds: Option<Bounds>,
    docs: String,
}

/// `table` is its table in a file, from the outermost configuration of its crate on.
fn sheet<C>(krate: &'static str, name: &'static str, table: &'static str) -> Sheet
where
    C: Configuration + PartialEq + Debug + Serialize + DeserializeOwned,
{
    let defaults = serde_json::to_value(C::default()).expect("a configuration is data");
    let rows = C::fields().map(|field| {
        let name = field.path.rsplit('.').next().expect("a last part");
        Row {
            field: name,
            kind: field.kind,
            default: defaults[name].clone(),
            bounds: field.bounds.map(|(bounds, _)| bounds),
            docs: plain(field.docs),
        }
    });
    Sheet { name, krate, table, rows: rows.collect(), edges: C::fields().map(|f| tried(&f)).sum() }
}

fn sheets() -> Vec<Sheet> {
    vec![
        sheet::<SessionConfig>("relink", "SessionConfig", ""),
        sheet::<LinkConfig>("relink", "LinkConfig", "link"),
        sheet::<Backoff>("relink", "Backoff", "link.backoff"),
        sheet::<HeartbeatConfig>("relink", "HeartbeatConfig", "link.heartbeat"),
        sheet::<CredentialsConfig>("relink", "CredentialsConfig", "link.credentials"),
        sheet::<BudgetConfig>("relink", "BudgetConfig", "link.budget"),
        sheet::<StatusViewConfig>("relink", "StatusViewConfig", "link.surface"),
        sheet::<Handshake>("relink", "Handshake", "link.handshake"),
        sheet::<RetryAfter>("relink", "RetryAfter", "link.retry_after"),
        sheet::<OutboxConfig>("relink", "OutboxConfig", "outbox"),
        sheet::<SubscriptionsConfig>("relink", "SubscriptionsConfig", "subscriptions"),
        sheet::<InboxLimits>("relink-driver", "InboxLimits", ""),
        sheet::<ServerConfig>("relink-server", "ServerConfig", ""),
        sheet::<DeflateConfig>("relink-wire", "DeflateConfig", "deflate"),
        sheet::<AdmissionConfig>("relink-node", "AdmissionConfig", "admission"),
        sheet::<NodeConfig>("relink-node", "NodeConfig", "node"),
        sheet::<LivenessConfig>("relink-node", "LivenessConfig", "node.liveness"),
        sheet::<DrainConfig>("relink-node", "DrainConfig", "node.drain"),
        sheet::<HistoryConfig>("relink-node", "HistoryConfig", "node.history"),
        sheet::<PeerRestartConfig>("relink-profiles", "PeerRestartConfig", ""),
    ]
}

#[test]
fn each_bound_of_each_setting_holds_below_at_and_above_it() {
    let edges: usize = sheets().iter().map(|sheet| sheet.edges).sum();
    assert!(edges > 100, "only {edges} bounds were tried");
}

/// Tries both ends of a field's bounds; returns how many there are.
fn tried<C>(field: &Field<C>) -> usize
where
    C: Configuration + PartialEq + Debug + Serialize + DeserializeOwned,
{
    let Some((bounds, set)) = field.bounds else { return 0 };
    let ends = [
        (bounds.least, "at least", bounds.least.and_then(below)),
        (bounds.most, "at most", bounds.most.map(above)),
    ];
    let mut count = 0;
    for (end, word, outside) in ends {
        let Some(end) = end else { continue };
        count += 1;
        let mut config = C::default();
        assert!(set(&mut config, end), "{}: {end} does not fit", field.path);
        // If a rule between fields refuses it, the error is another one.
        let complaint = config.validate().err().map(|error| error.to_string()).unwrap_or_default();
        assert!(!complaint.ends_with(&format!("must be {word} {end}")), "{complaint}");
        let text = serde_json::to_string(&config).expect("a configuration is data");
        assert_eq!(serde_json::from_str::<C>(&text).expect("it reads back"), config, "{text}");
        if let Some(outside) = outside.filter(|outside| set(&mut config, *outside)) {
            let complaint = config.validate().expect_err("out of bounds");
            let expected = format!("{} is {outside}, but it must be {word} {end}", field.path);
            assert_eq!(
                (complaint.field().to_string(), complaint.to_string()),
                (field.path.to_owned(), expected)
            );
        }
    }
    count
}

fn below(value: Value) -> Option<Value> {
    match value {
        Value::Duration(end) => end.checked_sub(Duration::from_nanos(1)).map(Value::Duration),
        Value::Number(end) => end.checked_sub(1).map(Value::Number),
        Value::Text(_) | _ => None,
    }
}

fn above(value: Value) -> Value {
    match value {
        Value::Duration(end) => Value::Duration(end + Duration::from_nanos(1)),
        Value::Number(end) => Value::Number(end + 1),
        Value::Text(_) | _ => value,
    }
}

#[test]
fn the_committed_page_lists_every_setting() {
    let page = page(&sheets());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    if std::env::var_os("RELINK_UPDATE").is_some() {
        std::fs::write(&file, &page).expect("the page can be written");
    }
    assert!(
        std::fs::read_to_string(&file).is_ok_and(|committed| committed == page),
        "a setting changed; if that is meant: RELINK_UPDATE=1 cargo test -p relink-server --test configuration"
    );
}

fn page(sheets: &[Sheet]) -> String {
    let mut page = INTRODUCTION.to_owned();
    for Sheet { name, krate, table, rows, .. } in sheets {
        let place = if table.is_empty() { String::new() } else { format!(", `[{table}]`") };
        _ = write!(page, "\n## `{name}`\n\nIn `{krate}`{place}.\n\n");
        page.push_str("| field | default | allowed | meaning |\n| --- | --- | --- | --- |\n");
        for Row { field, kind, default, bounds, docs } in rows {
            let default = if sheets.iter().any(|sheet| sheet.name == *kind) {
                format!("[its own](#{})", kind.to_lowercase())
            } else {
                format!("`{}`{}", toml(default), size(default))
            };
            let may_be_off = kind.starts_with("Option<");
            let allowed = bounds.map(|bounds| allowed(bounds, may_be_off)).unwrap_or_default();
            _ = writeln!(page, "| `{field}` | {default} | {allowed} | {docs} |");
        }
    }
    page
}

/// A value as in a TOML file.
fn toml(value: &Json) -> String {
    match value {
        Json::Null => "none".to_owned(),
        Json::Object(fields) => {
            // Sorted, as the order depends on the features of serde_json.
            let mut fields: Vec<_> =
                fields.iter().map(|(name, value)| format!("{name} = {}", toml(value))).collect();
            fields.sort();
            format!("{{ {} }}", fields.join(", "))
        }
        Json::Array(items) => {
            format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", "))
        }
        Json::Bool(_) | Json::Number(_) | Json::String(_) => value.to_string(),
    }
}

/// A large power of two, as people say it.
fn size(value: &Json) -> String {
    match value.as_u64().map(|bytes| (bytes, bytes.trailing_zeros())) {
        Some((bytes, 20..64)) => format!(" ({} MiB)", bytes >> 20),
        Some((bytes, 16..20)) => format!(" ({} KiB)", bytes >> 10),
        _ => String::new(),
    }
}

fn allowed(Bounds { least, most }: Bounds, may_be_off: bool) -> String {
    let range = match (least.filter(|least| *least != Value::Number(0)), most) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => "any".to_owned(),
    };
    if may_be_off { format!("{range}, or off") } else { range }
}

/// The text of a field in one line, without the links of rustdoc.
fn plain(docs: &str) -> String {
    let mut text = docs.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    while let Some((start, middle)) = text.find("[`").zip(text.find("`]")) {
        let link = text[start + 1..=middle].to_owned();
        let target = text[middle + 2..].strip_prefix('(').and_then(|rest| rest.find(')'));
        let end = middle + 2 + target.map_or(0, |length| length + 2);
        text.replace_range(start..end, &link);
    }
    text
}
