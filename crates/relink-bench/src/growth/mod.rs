//! What things cost as there are more of them, in instructions: each operation in a world of some
//! size. A process has one world, of one family.

mod client;
mod frames;
mod history;
mod node;
mod tasks;

use std::collections::BTreeMap;

use crate::Result;
use crate::callgrind::{self, Callgrind};

/// Those that grow.
pub(crate) const FAMILIES: [&str; 4] = ["client", "tasks", "history", "node"];

/// The instructions of each operation of a family.
pub(crate) fn measure(family: &str, size: u64) -> Result<BTreeMap<String, f64>> {
    let callgrind = Callgrind::new()?;
    let output =
        callgrind.command(&["growth".into(), family.into(), size.to_string()])?.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let totals = callgrind.totals(&output.stderr)?;
    let text = String::from_utf8(output.stdout)?;
    let each = |(line, total): (&str, u64)| {
        let (name, parts) = line.split_once(' ').ok_or("a name and a number")?;
        Ok((name.to_owned(), total as f64 / parts.parse::<f64>()?))
    };
    text.lines().zip(totals).map(each).collect()
}

/// Does all of it, for [`measure`] in another process.
pub(crate) fn run(family: &str, size: u64) -> Result<()> {
    match family {
        "frames" => frames::run(),
        "client" => client::run(size)?,
        "tasks" => tasks::run(size)?,
        "history" => history::run(size)?,
        "node" => node::run(size)?,
        _ => return Err(format!("{family}: no such family").into()),
    }
    Ok(())
}

/// Measures one operation, done a number of times at once.
fn measured<T>(name: &str, times: u64, what: impl FnOnce() -> T) {
    let counting = Counting::start();
    std::hint::black_box(what());
    counting.end(name, times);
}

struct Counting;

impl Counting {
    fn start() -> Self {
        callgrind::start();
        Self
    }

    fn end(self, name: &str, times: u64) {
        callgrind::stop();
        callgrind::end_part();
        println!("{name} {times}");
    }
}
