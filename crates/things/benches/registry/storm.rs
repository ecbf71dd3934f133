//! Whether a storm of log-ins holds up everybody else: hashing a password takes a core for long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    Result,
    bulk::Filled,
    client::Client,
    report::{Samples, ms, note, ratio},
    search,
    server::{PASSWORD, Server},
};

const LOG_INS: usize = 50;
/// Without the storm, for comparison.
const CALM: Duration = Duration::from_secs(5);

/// Reads a thing over and over, first alone, then while fifty people log in at once.
pub(crate) async fn storm(server: &Server, admin: &Client, filled: &Filled) -> Result<()> {
    let path = search::thing(admin, filled).await?;
    for n in 0..LOG_INS {
        admin.post("/users", &json!({ "email": email(n), "password": PASSWORD })).await?;
    }
    let calm = read_until(admin, &path, async {
        tokio::time::sleep(CALM).await;
        Ok(())
    })
    .await?;
    let begun = Instant::now();
    let mut refusals = 0;
    let stormy = read_until(admin, &path, async {
        let mut people = Vec::new();
        for n in 0..LOG_INS {
            let stranger = server.stranger()?;
            let body = serde_json::to_vec(&json!({ "email": email(n), "password": PASSWORD }))?;
            people.push(tokio::spawn(async move {
                let mut refusals = 0;
                while !stranger.is_taken("/tokens", body.clone()).await? {
                    refusals += 1;
                    // What Retry-After says.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Ok::<_, crate::Error>(refusals)
            }));
        }
        for person in people {
            refusals += person.await??;
        }
        Ok(())
    })
    .await?;
    note(
        "GET /things/{id} while nobody logs in",
        &ms(calm.median()),
        &format!("p99 {}, {} reads", ms(calm.quantile(0.99)), calm.len()),
    );
    note(
        &format!("  while {LOG_INS} people log in at once"),
        &ms(stormy.median()),
        &format!(
            "{:.2} times as long; p99 {}, {:.2} times; {} reads; all are in after {:.1} s and {refusals} 429s",
            ratio(stormy.median(), calm.median()),
            ms(stormy.quantile(0.99)),
            ratio(stormy.quantile(0.99), calm.quantile(0.99)),
            stormy.len(),
            begun.elapsed().as_secs_f64(),
        ),
    );
    Ok(())
}

fn email(n: usize) -> String {
    format!("person-{n}@bench.example")
}

/// One client's reads, one after the other, for as long as `meanwhile` takes.
async fn read_until(
    client: &Client,
    path: &str,
    meanwhile: impl Future<Output = Result<()>>,
) -> Result<Samples> {
    let over = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn({
        let (client, path, over) = (client.clone(), path.to_owned(), Arc::clone(&over));
        async move {
            let mut samples = Samples::default();
            while !over.load(Ordering::Relaxed) {
                samples.extend(&client.timed_gets(&path, 1).await?);
            }
            Ok::<_, crate::Error>(samples)
        }
    });
    let outcome = meanwhile.await;
    over.store(true, Ordering::Relaxed);
    let samples = reading.await??;
    outcome.map(|()| samples)
}
