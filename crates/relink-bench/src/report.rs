//! All tables, as Markdown.

use crate::Result;
use crate::measure::{Direction, Job, Server};
use crate::peers::Peer;

/// The sizes that are measured, with how many messages a run has.
const SIZES: [(usize, u64); 3] = [(64, 400_000), (4 << 10, 60_000), (1 << 20, 300)];
const ROUNDS: usize = 5;

pub(crate) fn print() -> Result<()> {
    let server = Server::start()?;
    println!("Processor time per message, as a ratio to tokio-tungstenite with `feed` and `flush`");
    println!("(median of {ROUNDS} interleaved runs); in parentheses, its nanoseconds.\n");
    println!("| | {} |", columns().join(" | "));
    println!("|---|{}", "---|".repeat(columns().len()));
    let mut rows = vec![Vec::new(); Peer::ALL.len()];
    for direction in Direction::ALL {
        for (size, count) in SIZES {
            let medians = compare(&server, direction, size, count)?;
            for (row, median) in rows.iter_mut().zip(&medians) {
                row.push(format!("{:.2}", median / medians[0]));
            }
            rows[0].pop();
            rows[0].push(format!("1 ({:.0})", medians[0]));
        }
    }
    for (peer, row) in Peer::ALL.iter().zip(rows) {
        println!("| {} | {} |", peer.name(), row.join(" | "));
    }

    println!(
        "\n| 64 B | instructions, send | receive | heap blocks, send | receive | bytes per idle link |"
    );
    println!("|---|---|---|---|---|---|");
    for peer in Peer::ALL.into_iter().chain([Peer::ClientOneByOne]) {
        let mut cells = Vec::new();
        for direction in Direction::ALL {
            let job = Job { peer, direction, size: 64, count: 20_000 };
            cells.push(format!("{:.0}", server.instructions(job)?));
        }
        for direction in Direction::ALL {
            let job = Job { peer, direction, size: 64, count: 200_000 };
            cells.push(format!("{:.3}", server.run(job)?.1));
        }
        cells.push(server.idle(peer, 500)?.to_string());
        println!("| {} | {} |", peer.name(), cells.join(" | "));
    }
    Ok(())
}

fn columns() -> Vec<String> {
    let mut columns = Vec::new();
    for direction in Direction::ALL {
        for (size, _) in SIZES {
            columns.push(format!("{} {size} B", direction.name()));
        }
    }
    columns
}

/// The median of each peer, in the order of [`Peer::ALL`], from runs turn about.
fn compare(server: &Server, direction: Direction, size: usize, count: u64) -> Result<Vec<f64>> {
    let mut runs = vec![Vec::new(); Peer::ALL.len()];
    for _ in 0..ROUNDS {
        for (peer, runs) in Peer::ALL.into_iter().zip(&mut runs) {
            runs.push(server.run(Job { peer, direction, size, count })?.0);
        }
    }
    Ok(runs
        .into_iter()
        .map(|mut runs| {
            runs.sort_by(f64::total_cmp);
            runs[runs.len() / 2]
        })
        .collect())
}
