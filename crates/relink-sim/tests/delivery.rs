use relink_sim::world::{self, Profile};
#[test]
fn try_it() {
    let profile = match std::env::var("PROFILE").as_deref() {
        Ok("cuts") => Profile::Cuts,
        Ok("frames") => Profile::Frames,
        Ok("nodes") => Profile::Nodes,
        Ok("short") => Profile::Short,
        Ok("members") => Profile::Members,
        _ => Profile::Mixed,
    };
    let from: u64 = std::env::var("FROM").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let n: u64 = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let shown: usize = std::env::var("SHOWN").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut total = world::Report::default();
    let mut failed = 0;
    for seed in from..from + n {
        match std::panic::catch_unwind(|| world::run(profile, seed)) {
            Ok(Ok(r)) => {
                total.acknowledged += r.acknowledged;
                total.taken += r.taken;
                total.resumed += r.resumed;
                total.refused += r.refused;
                total.gaps += r.gaps;
                total.duplicates += r.duplicates;
                total.steps += r.steps;
            }
            Ok(Err(f)) => {
                failed += 1;
                println!("FAIL {f:.shown$}");
            }
            Err(_) => {
                failed += 1;
                println!("FAIL {profile:?} {seed} panic");
            }
        }
    }
    println!("{failed} failed; {total:?}");
}
