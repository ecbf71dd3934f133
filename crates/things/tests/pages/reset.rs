//! Forgotten passwords.

use crate::{
    app::{Engine, ROOT_PASSWORD as PASSWORD, Send, engines, mailbox::Mailbox, start, start_mailing},
    page::{form, get, log_in, text},
};

const ANN: &str = "annabel@example.com";
const NEW: &str = "four unrelated words here";

#[tokio::test]
async fn a_password_is_set_anew_once_by_the_link_from_a_mail() {
    for engine in engines() {
        let mailbox = Mailbox::empty();
        let server = start_mailing(engine, &mailbox.setup()).await;
        let program = server.person(ANN).await;
        let browser = log_in(&server, ANN, PASSWORD).await;
        // The same for everybody, and a mail for those who are somebody.
        let asked = async |email: &str| {
            let reply = form(&server, "/forgot", &[("email", email)]).reply().await;
            assert_eq!((reply.status, reply.text.as_str()), (303, ""));
            let mut headers = reply.headers;
            headers.remove("x-request-id");
            headers.remove("date");
            headers
        };
        assert_eq!(asked("nobody@example.com").await, asked(ANN).await);
        let link = format!("/reset/{}", mailbox.secret(1).await.expose());
        assert_eq!(asked(ANN).await, asked("other@example.com").await);

        // Looking at it is not using it: scanners of mails do.
        for _ in 0..3 {
            let page = server.anonymous.get(&link).await;
            assert_eq!(page.status, 200);
            assert!(!page.text.contains("rst_"));
        }
        for (bad, told) in [
            ("", "This must be at least 12 characters long."),
            ("short", "This must be at least 12 characters long."),
            ("annabel-was-here", "This must not contain the name in your e-mail address."),
        ] {
            let reply = form(&server, &link, &[("password", bad)]).reply().await;
            assert_eq!(reply.status, 400);
            assert!(text(&reply).contains(told), "{bad}: {}", reply.text);
            assert!(bad.is_empty() || !reply.text.contains(bad), "{}", reply.text);
        }
        let reply = form(&server, &link, &[]).reply().await;
        assert!(text(&reply).contains("This is required."), "{}", reply.text);

        let reply = form(&server, &link, &[("password", NEW)]).header("cookie", &browser).reply().await;
        assert_eq!((reply.status, reply.header("location")), (303, "/login?notice=password-set"));
        assert!(reply.header("set-cookie").starts_with("things_session=; Path=/; Max-Age=0;"));
        let page = server.anonymous.get("/login?notice=password-set").await;
        assert!(text(&page).contains("Your new password is set."));
        assert_eq!(program.get("/users/profile").await.problem(401), "unauthenticated");
        assert!(!text(&get(&server, "/login", &browser).await).contains("You are logged in"));
        log_in(&server, ANN, NEW).await;

        let again = form(&server, &link, &[("password", PASSWORD)]).reply().await;
        assert_eq!(again.status, 404);
        assert!(text(&again).contains("This link does not work"), "{}", again.text);
        for broken in ["/reset/x", "/reset/%FF", "/reset/rst_", &link[..link.len() - 1]] {
            let page = server.anonymous.get(broken).await;
            assert_eq!(
                (page.status, page.header("content-type")),
                (404, "text/html; charset=utf-8"),
                "{broken}"
            );
            let sent = form(&server, broken, &[("password", NEW)]).reply().await;
            assert_eq!(sent.status, 404, "{broken}");
        }
    }
}

#[tokio::test]
async fn a_request_with_a_mistake_comes_back_with_it() {
    let server = start(Engine::Sqlite).await;
    let reply = form(&server, "/forgot", &[("email", "<b>ann")]).reply().await;
    assert_eq!(reply.status, 400);
    assert!(text(&reply).contains("This must be an e-mail address, such as ada@example.com."));
    assert!(
        reply.text.contains("aria-invalid=\"true\"")
            && reply.text.contains("aria-describedby=\"email-wrong \"")
    );
    assert!(reply.text.contains("value=\"&#60;b&#62;ann\""), "{}", reply.text);
    let reply = form(&server, "/forgot", &[]).reply().await;
    assert!(text(&reply).contains("This is required."));
}
