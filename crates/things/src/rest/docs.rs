//! A place to read and try the API with a browser. Everything is inside the program; nothing is fetched
//! from elsewhere, and no script is inline.

use axum::{
    Router,
    extract::Path,
    http::{HeaderName, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use registry::Error;
use swagger_ui_redist::SwaggerUi;

use super::problem::Answer;
use crate::App;

/// What is not part of the API and so not in its document.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/docs", get(docs))
        .route("/docs/", get(|| async { Redirect::permanent("/docs") }))
        .route("/docs/{file}", get(asset))
}

// Swagger UI styles its elements by script, which needs no 'unsafe-inline', and draws icons from
// data: URLs.
const DOCS_POLICY: (HeaderName, &str) = (
    header::CONTENT_SECURITY_POLICY,
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
);

async fn docs() -> Response {
    const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Things API</title>\n\
        <meta name=\"viewport\" content=\"width=device-width\">\n\
        <link rel=\"icon\" href=\"/docs/favicon-32x32.png\">\n\
        <link rel=\"stylesheet\" href=\"/docs/swagger-ui.css\">\n\
        <div id=\"swagger-ui\"></div>\n\
        <script src=\"/docs/swagger-ui-bundle.js\"></script>\n<script src=\"/docs/start.js\"></script>\n</html>\n";
    ([DOCS_POLICY], Html(PAGE)).into_response()
}

const START: &str = "SwaggerUIBundle({url: '/openapi.json', dom_id: '#swagger-ui', deepLinking: true, \
    persistAuthorization: false, validatorUrl: null});\n";

async fn asset(Path(file): Path<String>) -> Answer {
    let found = SwaggerUi::static_files().iter().find(|(known, _)| known.file_name() == file);
    let bytes: &'static [u8] = match found {
        Some((_, bytes)) => bytes,
        None if file == "start.js" => START.as_bytes(),
        None => return Err(Error::NotFound.into()),
    };
    let kind = match file.rsplit_once('.').map(|(_, extension)| extension) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    };
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=3600")], bytes)
        .into_response())
}
