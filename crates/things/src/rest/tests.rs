//! What the layers do to routes that misbehave.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
    response::Response,
    routing::{get, post},
};
use http_body_util::BodyExt;
use registry::{Registry, Settings};
use tower::ServiceExt;

use super::*;
use crate::Options;

async fn app(dir: &tempfile::TempDir, options: Options) -> App {
    let url = format!("sqlite:{}", dir.path().join("things.db").display());
    let keyring = format!("pepper=p1:{0}\nkek=k1:{0}\n", "A".repeat(43)).parse().unwrap();
    App::new(Registry::open(Settings::new(url, keyring)).await.unwrap(), options)
}

async fn send(router: &Router, method: &str, path: &str) -> Response {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    router.clone().oneshot(request).await.unwrap()
}

#[tokio::test]
async fn a_panic_is_a_problem_and_tells_nothing() {
    let dir = tempfile::tempdir().unwrap();
    async fn boom() -> StatusCode {
        panic!("s3cret")
    }
    let routes = Router::new().route("/boom", get(boom).post(boom));
    let router = layered(routes, app(&dir, Options::default()).await);
    for method in ["GET", "POST"] {
        let response = send(&router, method, "/boom").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("/problems/internal") && !body.contains("s3cret"), "{body}");
    }
}

#[tokio::test]
async fn a_change_goes_on_without_its_client() {
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    async fn slow() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        ENDED.fetch_add(1, Ordering::SeqCst);
    }
    let dir = tempfile::tempdir().unwrap();
    let routes = Router::new().route("/slow", post(slow).get(slow));
    let router = layered(routes, app(&dir, Options::default()).await);
    for (method, ended) in [("POST", 1), ("GET", 1)] {
        // The client hangs up: the future is dropped.
        let hung_up = tokio::time::timeout(Duration::from_millis(20), send(&router, method, "/slow")).await;
        assert!(hung_up.is_err());
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(ENDED.load(Ordering::SeqCst), ended, "{method}");
    }
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { requests_per_second: Some(1), burst: 3, ..Options::default() };
    let routes = Router::new().route("/x", get(|| async {})).route("/identify", get(|| async {}));
    let router = layered(routes, app(&dir, options).await);
    for _ in 0..3 {
        assert_eq!(send(&router, "GET", "/x").await.status(), StatusCode::OK);
    }
    let response = send(&router, "GET", "/x").await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    // Unknown paths are not a way around it, and devices are not held up.
    assert_eq!(send(&router, "GET", "/nowhere").await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(send(&router, "GET", "/identify").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn requests_are_counted_by_route() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir, Options::default()).await;
    let router = layered(Router::new().route("/x/{id}", get(|| async {})), app.clone());
    for path in ["/x/1", "/x/2", "/nowhere?password=s3cret"] {
        send(&router, "GET", path).await;
    }
    let text = app.metrics.encode().unwrap();
    assert!(text.contains(r#"requests_total{method="GET",route="/x/{id}",status="2xx"} 2"#), "{text}");
    assert!(text.contains(r#"requests_total{method="GET",route="",status="4xx"} 1"#), "{text}");
    assert!(!text.contains("s3cret") && !text.contains("nowhere"), "{text}");
}
