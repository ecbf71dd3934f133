//! The live schema against the contract it began with.

mod support;

use registry::Clock;
use support::{engines, fresh, open};

#[tokio::test]
async fn a_database_with_the_present_schema_is_opened_as_it_is() {
    for engine in engines() {
        let database = fresh(engine).await;
        for _ in 0..2 {
            open(&database, Clock::system()).await.unwrap().close().await;
        }
    }
}
