//! Guessing: very many keys with a wrong checksum, and how devices fare beside it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Result,
    cells::measured,
    child::Server,
    client::{Ask, checks},
    fleet::Fleet,
    load::{Connections, Keys},
    progress::Progress,
    report::{Beside, Guessing},
};

/// Connections that guess, and connections of devices. As many of one as of the other would double how long
/// devices wait for the processor, whatever the server does.
const GUESSERS: usize = 2;
const DEVICES: usize = 4;

pub(super) async fn guess(
    (ours, bare): (&mut Server, &mut Server),
    fleet: &Arc<Fleet>,
    ask: Ask,
    wrong_keys: usize,
    before: Duration,
    progress: &Progress,
) -> Result<Guessing> {
    let reads = |checks: Option<(u64, u64)>| checks.map_or(0, |(_, database)| database);
    let (told, reads_before) =
        (beside(bare, fleet, ask, wrong_keys, before, progress).await?, checks(ours).await?);
    let (bare, ours_told) = (told, beside(ours, fleet, ask, wrong_keys, before, progress).await?);
    let reads_after = checks(ours).await?;
    Ok(Guessing {
        ask,
        wrong_keys,
        guessers: GUESSERS,
        devices: DEVICES,
        database_reads: reads(reads_after).saturating_sub(reads(reads_before)),
        ours: ours_told,
        bare,
    })
}

async fn beside(
    server: &mut Server,
    fleet: &Arc<Fleet>,
    ask: Ask,
    wrong_keys: usize,
    before: Duration,
    progress: &Progress,
) -> Result<Beside> {
    let all = fleet.things.len();
    let mut devices = Connections::open(server, ask, DEVICES).await?;
    let warm = Keys::Among(all, Instant::now() + before / 4);
    devices.load(fleet, ask, &warm).await.map_err(|failure| server.explain(failure))?;
    let cpu = server.cpu();
    let alone = devices.load(fleet, ask, &Keys::Among(all, Instant::now() + before)).await;
    let alone = alone.map_err(|failure| server.explain(failure))?;
    let alone = measured(server, &alone, cpu);

    let mut guessers = Connections::open(server, ask, GUESSERS).await?;
    let (going, shown) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let guesses = Keys::MadeUp(wrong_keys, Arc::clone(&shown));
    let meanwhile = Keys::While(all, Arc::clone(&going));
    let cpu = server.cpu();
    let guessing = async {
        let guessed = guessers.load(fleet, ask, &guesses).await;
        going.store(false, Ordering::Relaxed);
        guessed
    };
    let telling = async {
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let shown = shown.load(Ordering::Relaxed).min(wrong_keys);
            progress.at(&format!("guessing: {shown} of {wrong_keys} wrong keys"));
        }
    };
    let both = async { tokio::join!(guessing, devices.load(fleet, ask, &meanwhile)) };
    let (guessed, during) = tokio::select! {
        both = both => both,
        () = telling => return Err(crate::cli::Failure::Failed("never".to_owned())),
    };
    let guessed = guessed.map_err(|failure| server.explain(failure))?;
    let during = during.map_err(|failure| server.explain(failure))?;
    let during = measured(server, &during, cpu);
    Ok(Beside {
        wrong_keys_per_second: guessed.per_second(),
        p99_ratio: during.p99_us / alone.p99_us.max(f64::MIN_POSITIVE),
        before: alone,
        during,
    })
}
