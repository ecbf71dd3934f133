//! Whether the thousandth page costs as much as the first.

use serde_json::Value;

use crate::{
    Result, Task,
    bulk::Filled,
    client::Client,
    report::{Samples, ms, note, ratio},
};

const LIMIT: usize = 100;
/// How often each page is read, in turns, so that all meet the same machine.
const TIMES: usize = 100;

/// Pages of the large group by cursor, in each order.
pub(crate) async fn walk(task: &Task, admin: &Client, filled: &Filled) -> Result<()> {
    let group = filled.groups.first().ok_or("no group")?;
    let last = task.group / LIMIT;
    for order in ["order=id&dir=desc", "order=name&dir=asc"] {
        let first = format!("/groups/{group}/things?limit={LIMIT}&{order}");
        let mut cursor = String::new();
        let (mut second, mut read) = (String::new(), 0);
        let mut path = first.clone();
        for page in 1..last {
            let (_, body) = admin.get(&path).await?;
            read += body["things"].as_array().map_or(0, Vec::len);
            cursor = body["next"].as_str().ok_or_else(|| format!("page {page} is the last"))?.to_owned();
            path = format!("{first}&cursor={cursor}");
            if page == 1 {
                second.clone_from(&path);
            }
        }
        let deep = format!("{first}&cursor={cursor}");
        let (_, body) = admin.get(&deep).await?;
        read += body["things"].as_array().map_or(0, Vec::len);
        if read != task.group || body["next"] != Value::Null {
            return Err(format!("{read} things were read of {}", task.group).into());
        }
        let mut samples = [Samples::default(), Samples::default(), Samples::default()];
        for _ in 0..TIMES {
            for (path, samples) in [&first, &second, &deep].into_iter().zip(&mut samples) {
                samples.extend(&admin.timed_gets(path, 1).await?);
            }
        }
        let [first, second, deep] = samples.map(|samples| samples.median());
        let order = order.split('&').next().unwrap_or_default();
        note(&format!("page 1 of {last}, {LIMIT} things, {order}"), &ms(first), "counts the list as well");
        note("  page 2, by cursor", &ms(second), "");
        note(
            &format!("  page {last}, by cursor"),
            &ms(deep),
            &format!(
                "{:.2} of page 2, {:.2} of page 1 (aim: near 1)",
                ratio(deep, second),
                ratio(deep, first)
            ),
        );
    }
    Ok(())
}
