//! A client of the Things device registry, over its HTTP API and nothing else.
//!
//! [`Client`] sends requests and reads answers; what is in them is JSON of the caller's own types, or
//! [`serde_json::Value`], as `GET /openapi.json` describes it. It takes care of what is the same for all:
//! the token, [`Problem`]s, pages, waiting when the server says so, repeating what may be repeated, and
//! streams that are longer than memory.
//!
//! ```no_run
//! use serde_json::{Value, json};
//! use things_client::{Client, Token};
//!
//! # async fn example() -> Result<(), things_client::Error> {
//! let client = Client::new("http://127.0.0.1:8182", Some(Token::new("tok_…")))?;
//!
//! // One request: an organisation, made once even if the connection breaks and the request is repeated.
//! let org: Value = client.post("/orgs").json(&json!({"name": "Nordlicht"})).idempotent("a-key-of-mine").read().await?;
//!
//! // All groups, page by page.
//! let mut groups = client.get(&format!("/orgs/{}/groups", org["id"].as_str().unwrap_or_default())).pages("groups");
//! while let Some(page) = groups.next::<Value>().await? {
//!     println!("{} of {}", page.items.len(), page.total);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is repeated
//!
//! A request that only reads, one with an [`Idempotency-Key`](Request::idempotent), and any to which the
//! server says that nothing was carried out (429, and 503 of the kind `unavailable`) is sent again, a few times
//! and after `Retry-After`, unless that is longer than [`Patience::longest_wait`]. Nothing else ever is: the caller
//! alone knows whether a change may happen twice. An [upload](Request::upload) is sent once, whatever it is: its reader
//! cannot be read again.

mod client;
mod error;
mod lines;
mod pages;
mod problem;
mod request;
mod response;
mod token;

pub use client::{Builder, Client, Patience};
pub use error::Error;
pub use lines::{Lines, MAX_LINE};
pub use pages::{Page, Pages};
pub use problem::Problem;
pub use request::{Request, Upload};
pub use response::Response;
pub use token::Token;
