//! What else happens while an import goes on.

use std::time::Duration;

use registry::{Call, MemberRef, NewMember, Role, UserId};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use things::{Options, serve::Limits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{
    Scene,
    app::{Client, Engine, engines, start_with},
    counts, end, events, import, of, place,
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

/// Somebody else who may import into the group, and who that is.
pub(crate) async fn editor(scene: &Scene) -> (Client, UserId) {
    let editor = scene.server.person("editor@example.com").await;
    let registry = &scene.server.registry;
    let root = Call::new(scene.root.actor(registry).await, "test");
    let registry::Actor::User(user) = editor.actor(registry).await else { panic!("a person") };
    let member = |role| NewMember { who: MemberRef::Id(user.id()), role };
    registry.add_org_members(&root, scene.org.parse().unwrap(), &[member(Role::Viewer)]).await.unwrap();
    registry.add_group_members(&root, scene.group.parse().unwrap(), &[member(Role::Editor)]).await.unwrap();
    (editor, user.id())
}

#[tokio::test]
async fn two_imports_at_once_share_a_group() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let query = format!("profile_id={}&partial=true", scene.profile);
        // A person's files are taken in one after the other, and worked on together.
        let one = begun(&scene.root, &scene.group, &query, names(0, 3_000)).await;
        let second = names(2_000, 5_000);
        let (one, other) = tokio::join!(
            rest(one, String::new()),
            import(&scene.root, &scene.group, &query, &second, "other")
        );
        let (one, other) = (counts(&one), counts(&events(&other)));
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
        let (editor, user) = editor(&scene).await;
        let query = format!("profile_id={}&partial=true", scene.profile);
        let mut response = begun(&editor, &scene.group, &query, names(0, MANY)).await;
        let text = first_made(&mut response).await;
        let registry = &scene.server.registry;
        let root = Call::new(scene.root.actor(registry).await, "test");
        registry.remove_group_members(&root, scene.group.parse().unwrap(), &[user]).await.unwrap();
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
async fn so_many_files_are_worked_on_at_a_time() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let (elsewhere, profile) = place(&scene.root, &scene.org, "elsewhere").await;
        let mut under_way = Vec::new();
        for (group, profile) in [(&scene.group, &scene.profile), (&elsewhere, &profile)] {
            let query = format!("profile_id={profile}&partial=true");
            under_way.push(begun(&scene.root, group, &query, names(0, MANY)).await);
        }
        let third = scene.import("", "name\na\n").await;
        assert_eq!((third.problem(503), third.header("retry-after")), ("unavailable".to_owned(), "5"));
        for response in under_way {
            end(&rest(response, String::new()).await, "done");
        }
        assert_eq!(counts(&events(&scene.import("", "name\na\n").await))[1], 1);
    }
}

#[tokio::test]
async fn an_answer_waits_so_long_for_whoever_does_not_read_it() {
    for engine in engines() {
        let options =
            Options { requests_per_second: None, idle: Duration::from_secs(1), ..Options::default() };
        let scene = Scene::on(start_with(engine, options, Limits::default()).await).await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let mut stream = socket.connect(scene.server.address).await.unwrap();
        // All of them are rejected without a look at the database, and each is told of at length.
        let rows = "x,no type,no id,no status\n".repeat(60_000);
        let body = format!("name,type,id,status\n{rows}");
        let head = format!(
            "POST /groups/{}/import?profile_id={}&partial=true HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-type: text/csv\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            scene.group,
            scene.profile,
            scene.root.token(),
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = vec![0; 1024];
        stream.read_exact(&mut answer).await.unwrap();
        // Done by then, though not read, and a while after that nobody waits for us any more.
        tokio::time::sleep(Duration::from_secs(8)).await;
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains("\"rejected\"") && !answer.contains("\"done\""), "{} bytes", answer.len());
    }
}

#[tokio::test]
async fn a_dry_run_does_not_keep_others_from_their_changes() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let made = events(&scene.import("", "name\nthere\n").await);
        let rotate = format!("/things/{}/key/rotate", of(&made, "created")[0]["id"].as_str().unwrap());
        // Enough for more than the five seconds for which others wait.
        let rows = if engine == Engine::Sqlite { 100_000 } else { MANY };
        let file = names(0, rows);
        let (editor, _) = editor(&scene).await;
        let query = format!("profile_id={}&dry_run=true", scene.profile);
        // Two of them would be too long together.
        let (one, two, rotated) = tokio::join!(
            scene.import("partial=true&dry_run=true", &file),
            import(&editor, &scene.group, &query, &file, ""),
            async {
                tokio::time::sleep(Duration::from_millis(1_000)).await;
                scene.root.post(&rotate, &json!({})).await
            }
        );
        rotated.expect(201);
        for told in [one, two] {
            match engine {
                Engine::Sqlite => {
                    let told = told.expect(400)["errors"]["dry_run"].clone();
                    assert!(told.as_str().unwrap().ends_with("try the file in parts"), "{told}");
                }
                Engine::Postgres => assert_eq!(told.expect(200)["import"]["created"], rows),
            }
        }
        assert_eq!(total(&scene).await, 1);
    }
}

/// A file on its way: the beginning of an import of 1,000 bytes.
async fn slow(scene: &Scene) -> TcpStream {
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
}

#[tokio::test]
async fn files_that_arrive_slowly_keep_nobody_else_waiting() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let (editor, _) = editor(&scene).await;
        let mut slow = [slow(&scene).await, slow(&scene).await, slow(&scene).await];
        // One of them is on its way. The others are refused, in whatever order they came.
        let [one, two, three] = &mut slow;
        let (mut first, mut second, mut third) = ([0; 4096], [0; 4096], [0; 4096]);
        let read = tokio::select! {
            read = one.read(&mut first) => first[..read.unwrap()].to_vec(),
            read = two.read(&mut second) => second[..read.unwrap()].to_vec(),
            read = three.read(&mut third) => third[..read.unwrap()].to_vec(),
        };
        let answer = String::from_utf8(read).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: 5\r\n"), "{answer}");
        assert!(answer.contains("another file of yours"), "{answer}");
        // Nobody else notices.
        let query = format!("profile_id={}", scene.profile);
        let other = import(&editor, &scene.group, &query, "name\na\n", "").await;
        assert_eq!(counts(&events(&other)), [1, 1, 0, 0, 0]);
        drop(slow);
        while scene.import("dry_run=true", "name\nb\n").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(total(&scene).await, 1);
    }
}

#[tokio::test]
async fn a_file_that_trickles_in_is_refused_in_the_end() {
    for engine in engines() {
        let options =
            Options { requests_per_second: None, body_timeout: Duration::from_secs(1), ..Options::default() };
        let scene = Scene::on(start_with(engine, options, Limits::default()).await).await;
        let mut stream = slow(&scene).await;
        let began = std::time::Instant::now();
        let (mut read, mut write) = stream.split();
        let mut answer = [0; 4096];
        // Each piece is there in time, and they would go on for minutes.
        let trickle = async {
            while write.write_all(b"a").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        };
        let length = tokio::select! {
            length = read.read(&mut answer) => length.unwrap(),
            () = trickle => panic!("cut without an answer"),
        };
        let answer = String::from_utf8(answer[..length].to_vec()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("16 KiB a second"), "{answer}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
