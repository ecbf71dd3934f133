//! Prints the name and id of every thing that a token may see:
//! `THINGS_URL=… THINGS_TOKEN=… cargo run -p things-client --example devices`.

use std::{
    env,
    error::Error,
    io::{Write, stdout},
};

use serde::Deserialize;
use things_client::{Client, Token};

/// What this program wants to know of a thing.
#[derive(Deserialize)]
struct Device {
    id: String,
    name: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("THINGS_URL").unwrap_or_else(|_| "http://127.0.0.1:8182".to_owned());
    let client = Client::new(&url, env::var("THINGS_TOKEN").ok().map(Token::new))?;
    let mut pages = client
        .get("/things")
        .query("limit", "1000")
        .query("order", "name")
        .query("dir", "asc")
        .pages("things");
    while let Some(page) = pages.next::<Device>().await? {
        for device in page.items {
            writeln!(stdout(), "{}  {}", device.id, device.name)?;
        }
    }
    Ok(())
}
