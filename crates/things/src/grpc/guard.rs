//! Who may call at all: whoever reaches the port, or, where a service token is set, whoever shows it.

use aws_lc_rs::constant_time;
use axum::http::HeaderMap;
use registry::Secret;
use tonic::Status;

use crate::auth::Presented;

/// Whether the metadata `authorization: Bearer <token>` holds the service token.
pub(super) fn admit(token: Option<&Secret>, headers: &HeaderMap) -> Result<(), Status> {
    let Some(token) = token else { return Ok(()) };
    let shown = match Presented::of(headers) {
        Presented::Token(shown) => shown,
        Presented::Nothing | Presented::Key(_) | Presented::ExternalKey(_) | Presented::Unusable => {
            return Err(Status::unauthenticated(
                "this port wants a service token: send the metadata `authorization: Bearer <token>` with the \
                 value of grpc_token",
            ));
        }
    };
    // Of digests, which are equally long whatever was shown.
    constant_time::verify_slices_are_equal(&token.digest(), &shown.digest())
        .map_err(|_| Status::unauthenticated("this is not the service token, the value of grpc_token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_is_let_in() {
        let told = |token: Option<&str>, shown: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(shown) = shown {
                headers.insert("authorization", shown.parse().unwrap());
            }
            admit(token.map(Secret::new).as_ref(), &headers).is_ok()
        };
        assert!(told(None, None));
        assert!(told(Some("0123456789abcdef"), Some("Bearer 0123456789abcdef")));
        for wrong in [None, Some("Bearer 0123456789abcdeF"), Some("0123456789abcdef"), Some("Bearer ")] {
            assert!(!told(Some("0123456789abcdef"), wrong), "{wrong:?}");
        }
    }
}
