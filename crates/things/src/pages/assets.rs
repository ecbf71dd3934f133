//! What pages are made with: a style sheet and an icon, inside the program, under names that change
//! with their content, so that browsers may keep them for good.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use registry::Error;

use crate::rest::{extract::Id, problem::Answer};

/// A file under `/assets/`.
pub(super) struct Asset {
    file: String,
    kind: &'static str,
    content: &'static str,
}

impl Asset {
    fn new(name: &str, extension: &str, kind: &'static str, content: &'static str) -> Self {
        let digest = digest::digest(&digest::SHA256, content.as_bytes());
        let hash = URL_SAFE_NO_PAD.encode(digest.as_ref().iter().take(9).copied().collect::<Vec<_>>());
        Self { file: format!("{name}-{hash}.{extension}"), kind, content }
    }

    /// Where browsers find it.
    pub(super) fn path(&self) -> String {
        format!("/assets/{}", self.file)
    }
}

/// How pages look.
pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("things", "css", "text/css; charset=utf-8", include_str!("../../assets/things.css"))
});

/// The picture in the browser's tab.
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("things", "svg", "image/svg+xml", include_str!("../../assets/things.svg")));

/// Serves one.
pub(super) async fn serve(Id(file): Id<String>) -> Answer<Response> {
    let found = [&*STYLE, &*ICON].into_iter().find(|asset| asset.file == file).ok_or(Error::NotFound)?;
    let headers =
        [(header::CONTENT_TYPE, found.kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, found.content).into_response())
}
