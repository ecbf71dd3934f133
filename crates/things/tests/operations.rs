//! Health, the OpenAPI document, and the pages.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot go on"
)]

#[path = "support/app.rs"]
mod app;

use std::path::Path;

use app::{engines, start};
use serde_json::json;

#[tokio::test]
async fn health_has_the_form_of_mainflux_and_tells_what_was_checked() {
    for engine in engines() {
        let app = start(engine).await;
        let reply = app.anonymous.get("/health").await;
        assert_eq!(reply.header("content-type"), "application/health+json");
        let body = reply.expect(200);
        assert_eq!((&body["status"], &body["description"]), (&json!("pass"), &json!("things service")));
        for check in ["database", "migrations", "disk", "mail"] {
            assert_eq!(body["checks"][check]["status"], "pass");
        }
        assert_eq!(app.anonymous.get("/ready").await.status, 204);

        app.registry.close().await;
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        let body = app.anonymous.get("/health").await.expect(503);
        assert_eq!(
            (&body["status"], &body["checks"]["database"]["status"]),
            (&json!("fail"), &json!("fail"))
        );
        let reply = app.anonymous.get("/ready").await;
        assert_eq!(reply.problem(503), "unavailable");
        assert_eq!(reply.header("retry-after"), "2");
    }
}

#[test]
fn the_exported_document_is_the_programs() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api/openapi.json");
    let document = format!("{}\n", things::rest::document().to_pretty_json().unwrap());
    if std::fs::read_to_string(&file).ok().as_ref() != Some(&document) {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, document).unwrap();
        panic!(
            "docs/api/openapi.json was stale and has been rewritten: look at the difference and commit it"
        );
    }
}

#[test]
fn every_operation_is_described() {
    let document = serde_json::to_value(things::rest::document()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{name} has no summary");
            assert!(operation["tags"][0].is_string(), "{name} has no tag");
            assert!(operation["security"].is_array(), "{name} does not say who may ask");
            assert!(operation["responses"]["default"].is_object(), "{name} has no problem");
            let named: Vec<_> = operation["parameters"].as_array().into_iter().flatten().collect();
            for part in path.split(['{', '}']).skip(1).step_by(2) {
                assert!(
                    named.iter().any(|it| it["name"] == part && it["in"] == "path"),
                    "{name} lacks {part}"
                );
            }
        }
    }
    assert_eq!(document["info"]["license"]["identifier"], "Apache-2.0");
    assert_eq!(document["openapi"], "3.1.0");
}

#[tokio::test]
async fn the_pages_need_no_network_and_no_inline_script() {
    let app = start(app::Engine::Sqlite).await;
    for page in ["/", "/docs"] {
        let reply = app.anonymous.get(page).await;
        assert_eq!(reply.status, 200);
        assert!(!reply.header("content-security-policy").contains("unsafe"), "{page}");
        assert!(!reply.text.contains("http"), "{page} points elsewhere");
        for link in reply.text.split("=\"/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert_eq!(app.anonymous.get(&format!("/{link}")).await.status, 200, "{page} points to /{link}");
        }
    }
    assert_eq!(app.anonymous.get("/docs/nothing.js").await.problem(404), "not-found");
}
