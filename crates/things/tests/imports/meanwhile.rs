//! What else happens while an import goes on.

use std::time::Duration;

use registry::{Call, MemberRef, NewMember, Role};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    Scene,
    app::{Client, engines},
    counts, end, events, import, of,
};

/// So many that the rest waits behind whatever comes after the first is heard of.
const MANY: usize = 15_000;

fn names(from: usize, to: usize) -> String {
    std::iter::once("name".to_owned())
        .chain((from..to).map(|n| format!("n{n}")))
        .collect::<Vec<_>>()
        .join("\n")
}

/// An import that has begun to answer.
async fn begun(client: &Client, group: &str, query: &str, body: String) -> Response {
    let request = client.request(Method::POST, &format!("/groups/{group}/import?{query}"));
    let response = request
        .header("content-type", "text/csv")
        .header("idempotency-key", "begun")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    response
}

/// Reads until a thing was made.
async fn first_made(response: &mut Response) -> String {
    let mut text = String::new();
    while !text.contains("\"created\"") {
        let chunk = response.chunk().await.unwrap().unwrap();
        text += std::str::from_utf8(&chunk).unwrap();
    }
    text
}

async fn rest(mut response: Response, mut text: String) -> Vec<Value> {
    while let Some(chunk) = response.chunk().await.unwrap() {
        text += std::str::from_utf8(&chunk).unwrap();
    }
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn total(scene: &Scene) -> i64 {
    let group: registry::GroupId = scene.group.parse().unwrap();
    let id = scene.server.database.literal(group.uuid());
    scene.server.database.number(format!("SELECT count(*) FROM things WHERE group_id = {id}")).await
}

#[tokio::test]
async fn two_imports_at_once_share_a_group() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let query = format!("profile_id={}&partial=true", scene.profile);
        let (first, second) = (names(0, 3_000), names(2_000, 5_000));
        let (one, other) = tokio::join!(
            import(&scene.root, &scene.group, &query, &first, "one"),
            import(&scene.root, &scene.group, &query, &second, "other")
        );
        let (one, other) = (counts(&events(&one)), counts(&events(&other)));
        assert_eq!((one[1] + other[1], one[4] + other[4]), (5_000, 1_000));
        assert_eq!(total(&scene).await, 5_000);
    }
}

#[tokio::test]
async fn the_work_goes_on_when_nobody_listens() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let query = format!("profile_id={}", scene.profile);
        drop(begun(&scene.root, &scene.group, &query, names(0, 3_000)).await);
        // Until then the same is under way.
        loop {
            let again = import(&scene.root, &scene.group, &query, &names(0, 3_000), "begun").await;
            if again.status == 200 {
                let told = events(&again);
                assert_eq!(counts(&told), [3_000, 3_000, 0, 0, 0]);
                assert_eq!(of(&told, "created").len(), 3_000);
                break;
            }
            assert_eq!(again.problem(409), "request-in-flight");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(total(&scene).await, 3_000);
    }
}

#[tokio::test]
async fn whoever_loses_the_right_is_refused_from_the_next_batch_on() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let editor = scene.server.person("editor@example.com").await;
        let registry = &scene.server.registry;
        let root = Call::new(scene.root.actor(registry).await, "test");
        let registry::Actor::User(user) = editor.actor(registry).await else { panic!("a person") };
        let member = |role| NewMember { who: MemberRef::Id(user.id()), role };
        let (org, group) = (scene.org.parse().unwrap(), scene.group.parse().unwrap());
        registry.add_org_members(&root, org, &[member(Role::Viewer)]).await.unwrap();
        registry.add_group_members(&root, group, &[member(Role::Editor)]).await.unwrap();

        let query = format!("profile_id={}&partial=true", scene.profile);
        let mut response = begun(&editor, &scene.group, &query, names(0, MANY)).await;
        let text = first_made(&mut response).await;
        registry.remove_group_members(&root, group, &[user.id()]).await.unwrap();
        let told = rest(response, text).await;
        assert_eq!(end(&told, "failed")["problem"]["status"], 404);
        let made = i64::try_from(of(&told, "created").len()).unwrap();
        assert!(made < i64::try_from(MANY).unwrap() && made % 1_000 == 0, "{made}");
        assert_eq!(total(&scene).await, made, "what was done is done, and no more");
    }
}

#[tokio::test]
async fn a_group_that_goes_takes_its_import_with_it() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let query = format!("profile_id={}&partial=true", scene.profile);
        let mut response = begun(&scene.root, &scene.group, &query, names(0, MANY)).await;
        let text = first_made(&mut response).await;
        scene.root.delete(&format!("/groups/{}", scene.group)).await.expect(204);
        let told = rest(response, text).await;
        assert_eq!(end(&told, "failed")["problem"]["status"], 404);
        assert_eq!(total(&scene).await, 0);
    }
}

#[tokio::test]
async fn so_many_files_are_taken_in_at_a_time() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let slow = async || {
            let mut stream = TcpStream::connect(scene.server.address).await.unwrap();
            let head = format!(
                "POST /groups/{}/import?profile_id={} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
                 content-type: text/csv\r\ncontent-length: 1000\r\n\r\nname\n",
                scene.group,
                scene.profile,
                scene.root.token()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream
        };
        let mut slow = [slow().await, slow().await, slow().await];
        // Whichever comes third; the other two are waited for.
        let [first, second, third] = &mut slow;
        let mut answer = [0; 4096];
        let (mut one, mut two) = ([0; 4096], [0; 4096]);
        let read = tokio::select! {
            read = first.read(&mut one) => one[..read.unwrap()].to_vec(),
            read = second.read(&mut two) => two[..read.unwrap()].to_vec(),
            read = third.read(&mut answer) => answer[..read.unwrap()].to_vec(),
        };
        let answer = String::from_utf8(read).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: 5\r\n"), "{answer}");
        drop(slow);
        loop {
            let reply = scene.import("dry_run=true", "name\na\n").await;
            if reply.status == 200 {
                break;
            }
        }
        assert_eq!(json!(total(&scene).await), json!(0));
    }
}
