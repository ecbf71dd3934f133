//! The table: each kind of request, by hot and by any keys, on few and on many connections, of our server and
//! of the bare one in turn.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use super::{
    Result,
    child::Server,
    client::{Ask, checks},
    fleet::Fleet,
    load::{Connections, Dice, HOT, Keys, Tally},
    progress::Progress,
    report::{Cell, FirstTime, Measured, Memory, Spread},
};

/// In how many turns a cell is measured: whatever else the machine does meets both servers.
const TURNS: u32 = 4;
/// Connections that ask for everything once.
const FIRST: usize = 16;

/// What a load says of a server whose processor time was `before`.
pub(super) fn measured(server: &Server, tally: &Tally, before: Option<Duration>) -> Measured {
    let used = server.cpu().zip(before).map(|(now, before)| now.saturating_sub(before));
    told(server, tally, used)
}

fn told(server: &Server, tally: &Tally, used: Option<Duration>) -> Measured {
    let requests = tally.histogram.count();
    Measured {
        requests,
        per_second: tally.per_second(),
        p50_us: tally.histogram.quantile(0.5),
        p99_us: tally.histogram.quantile(0.99),
        cpu_us: used.map(|used| used.as_secs_f64() * 1e6 / requests.max(1) as f64),
        memory_mb: server.memory(),
    }
}

/// Asks for so many things, each of them once, in random order, after a start: nothing of it is in memory.
pub(super) async fn first_time(
    server: &mut Server,
    fleet: &Arc<Fleet>,
    ask: Ask,
    count: usize,
    progress: &Progress,
) -> Result<FirstTime> {
    let all = fleet.things.len();
    let mut order: Vec<u32> = (0..u32::try_from(all).unwrap_or(u32::MAX)).collect();
    let mut dice = Dice::new(7);
    for last in (1..order.len()).rev() {
        order.swap(last, dice.below(last + 1));
    }
    order.truncate(count);
    let count = order.len();
    let next = Arc::new(AtomicUsize::new(0));
    let keys = Keys::Each(order.into(), Arc::clone(&next));
    let mut connections = Connections::open(server, ask, FIRST).await?;
    let (memory_before_mb, cpu, reads) = (server.memory(), server.cpu(), checks(server).await?);
    let asking = connections.load(fleet, ask, &keys);
    let tally = tokio::select! {
        tally = asking => tally.map_err(|failure| server.explain(failure))?,
        tally = tell(progress, &next, count) => tally,
    };
    let measured = measured(server, &tally, cpu);
    progress.done(&format!("asked for each of {count} things once in {:.1} s", tally.took.as_secs_f64()));
    let database = |checks: Option<(u64, u64)>| checks.map_or(0, |(_, database)| database);
    let database_reads = database(checks(server).await?).saturating_sub(database(reads));
    Ok(FirstTime { ask, connections: FIRST, measured, database_reads, memory_before_mb })
}

/// What the credentials that one server keeps in memory add to what it holds after such checks anyway, as one
/// that keeps none shows.
pub(super) fn memory(keeping: &FirstTime, without: &FirstTime) -> Memory {
    let credentials = keeping.measured.requests;
    let (with_mb, without_mb) = (keeping.measured.memory_mb, without.measured.memory_mb);
    let added_mb = with_mb.zip(without_mb).map(|(with, without)| with - without);
    let bytes_per_credential = added_mb.map(|added| added * 1e6 / credentials.max(1) as f64);
    Memory {
        credentials,
        started_mb: keeping.memory_before_mb,
        without_mb,
        with_mb,
        added_mb,
        bytes_per_credential,
    }
}

/// Tells how far it is, for ever.
async fn tell<T>(progress: &Progress, next: &AtomicUsize, count: usize) -> T {
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let asked = next.load(std::sync::atomic::Ordering::Relaxed).min(count);
        progress.at(&format!("asking for each thing once: {asked} of {count}"));
    }
}

/// One server's side of a cell.
struct Side<'a> {
    server: &'a mut Server,
    connections: Connections,
    tally: Tally,
    used: Option<Duration>,
}

impl<'a> Side<'a> {
    async fn new(server: &'a mut Server, ask: Ask, count: usize) -> Result<Self> {
        let connections = Connections::open(server, ask, count).await?;
        Ok(Self { server, connections, tally: Tally::default(), used: Some(Duration::ZERO) })
    }

    async fn turn(&mut self, fleet: &Arc<Fleet>, ask: Ask, first: usize, time: Duration) -> Result<()> {
        let before = self.server.cpu();
        let keys = Keys::Among(first, Instant::now() + time);
        let tally = self.connections.load(fleet, ask, &keys).await;
        self.tally.merge(&tally.map_err(|failure| self.server.explain(failure))?);
        let used = self.server.cpu().zip(before).map(|(now, before)| now.saturating_sub(before));
        self.used = self.used.zip(used).map(|(sum, used)| sum + used);
        Ok(())
    }
}

/// One cell.
pub(super) async fn cell(
    (ours, bare): (&mut Server, &mut Server),
    fleet: &Arc<Fleet>,
    (ask, keys, connections): (Ask, Spread, usize),
    time: Duration,
) -> Result<Cell> {
    let all = fleet.things.len();
    let first = match keys {
        Spread::Hot => all.min(HOT),
        Spread::Uniform => all,
    };
    let mut ours = Side::new(ours, ask, connections).await?;
    let mut bare = Side::new(bare, ask, connections).await?;
    for side in [&mut ours, &mut bare] {
        side.turn(fleet, ask, first, time / 8).await?;
        (side.tally, side.used) = (Tally::default(), Some(Duration::ZERO));
    }
    let before = checks(ours.server).await?;
    for _ in 0..TURNS {
        ours.turn(fleet, ask, first, time / TURNS).await?;
        bare.turn(fleet, ask, first, time / TURNS).await?;
    }
    let after = checks(ours.server).await?;
    let (memory, all) = before
        .zip(after)
        .map_or((0, 0), |(before, after)| (after.0 - before.0, after.0 - before.0 + after.1 - before.1));
    let (ours, bare) = (told(ours.server, &ours.tally, ours.used), told(bare.server, &bare.tally, bare.used));
    let ratio = ours.cpu_us.zip(bare.cpu_us).map(|(ours, bare)| ours / bare);
    Ok(Cell {
        ask,
        keys,
        connections,
        cpu_ratio: ratio.filter(|ratio| ratio.is_finite()),
        throughput_ratio: ours.per_second / bare.per_second.max(f64::MIN_POSITIVE),
        from_memory: memory as f64 / all.max(1) as f64,
        ours,
        bare,
    })
}
