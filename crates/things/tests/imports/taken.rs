//! Rows whose keys are in use elsewhere: told freely where whoever imports may see them anyway, and otherwise only
//! a few times an hour.

use std::time::Duration;

use registry::{Call, MemberRef, NewMember, Role};
use serde_json::{Value, json};

use crate::{Scene, app::engines, counts, end, events, import, meanwhile::editor, of, place};

/// A hundred rows, of which the first 30 of every third have external keys that are in use elsewhere.
fn rows() -> String {
    let row = |n: usize| match n.is_multiple_of(3) && n < 90 {
        true => format!("n{n:02},TAKEN-{n:04}\n"),
        false => format!("n{n:02},FREE-{n:04}\n"),
    };
    std::iter::once("name,external_key\n".to_owned()).chain((0..100).map(row)).collect()
}

/// A group of root's whose things have them.
async fn elsewhere(scene: &Scene) -> String {
    let (group, profile) = place(&scene.root, &scene.org, "elsewhere").await;
    let keys: String = (0..30).map(|n| format!("x{n},TAKEN-{:04}\n", n * 3)).collect();
    let query = format!("profile_id={profile}");
    let made = import(&scene.root, &group, &query, &format!("name,external_key\n{keys}"), "").await;
    assert_eq!(counts(&events(&made))[1], 30);
    group
}

#[tokio::test]
async fn what_is_in_use_in_ones_own_groups_is_told_of_each_row() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let group = elsewhere(&scene).await;
        let told = events(&scene.import("partial=true", &rows()).await);
        assert_eq!(counts(&told), [100, 70, 0, 0, 30]);
        for rejected in of(&told, "rejected") {
            let error = &rejected["errors"][0];
            assert_eq!(error["field"], "external_key");
            assert!(error["message"].as_str().unwrap().contains(&format!("your group {group}")), "{error}");
        }
        // Whoever only looks at a group is not shown its keys, and is a stranger to them.
        let (viewer, user) = editor(&scene).await;
        let (own, profile) = place(&scene.root, &scene.org, "own").await;
        let registry = &scene.server.registry;
        let root = Call::new(scene.root.actor(registry).await, "test");
        for (group, role) in [(&group, Role::Viewer), (&own, Role::Editor)] {
            let member = NewMember { who: MemberRef::Id(user), role };
            registry.add_group_members(&root, group.parse().unwrap(), &[member]).await.unwrap();
        }
        let query = format!("profile_id={profile}&partial=true");
        let told = events(&import(&viewer, &own, &query, &rows(), "").await);
        assert_eq!(end(&told, "failed")["problem"]["status"], 429);
        assert!(!json!(told).to_string().contains(&group));
    }
}

#[tokio::test]
async fn what_strangers_use_ends_an_import_that_can_go_on_in_an_hour() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        elsewhere(&scene).await;
        let (editor, _) = editor(&scene).await;
        let send = async |query: &str, key: &str| {
            let query = format!("profile_id={}{query}", scene.profile);
            import(&editor, &scene.group, &query, &rows(), key).await
        };
        // Without `partial` nothing is done, and the problem names the rows that may be told.
        let told = events(&send("", "whole").await);
        assert!(of(&told, "created").is_empty());
        let problem = end(&told, "failed")["problem"].clone();
        assert_eq!(
            (&problem["status"], &problem["type"]),
            (&json!(429), &json!("/problems/too-many-requests"))
        );
        let errors = problem["errors"].as_object().unwrap();
        assert_eq!(errors.len(), 20, "{errors:?}");
        assert_eq!(
            errors["[57].external_key"],
            "line 59: this key or external key cannot be used; choose another"
        );
        assert!(problem["detail"].as_str().unwrap().contains("again in 60 minutes"), "{problem}");
        assert!(scene.names().await.is_empty());

        let again = events(&send("&partial=true", "parts").await);
        assert_eq!(end(&again, "failed")["problem"]["status"], 429);
        assert!(scene.names().await.is_empty(), "nothing more is told within the hour");
        scene.server.clock.advance(Duration::from_secs(3_601));

        // With it, what is before the last one told is done.
        let told = events(&send("&partial=true", "parts").await);
        assert_eq!(end(&told, "failed")["problem"]["status"], 429);
        assert_eq!((of(&told, "created").len(), of(&told, "rejected").len()), (38, 20));
        assert_eq!(of(&told, "rejected")[19]["row"], 58);
        assert_eq!(scene.names().await.len(), 38);
        scene.server.clock.advance(Duration::from_secs(3_601));

        let whole = events(&send("&partial=true", "parts").await);
        assert_eq!(counts(&whole), [100, 70, 0, 0, 30]);
        let rows = |events: &[Value]| -> Vec<Value> {
            events
                .iter()
                .filter(|event| event["event"] == "created" || event["event"] == "rejected")
                .cloned()
                .collect()
        };
        let (before, after) = (rows(&told), rows(&whole));
        assert_eq!(after[..before.len()], before, "the same again, with the same keys");
        assert_eq!(after.len(), 100);
        assert_eq!(scene.names().await.len(), 70);
        // And once more, of both parts.
        assert_eq!(rows(&events(&send("&partial=true", "parts").await)), after);
    }
}

#[tokio::test]
async fn as_many_as_may_be_told_stop_nothing() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        elsewhere(&scene).await;
        let (editor, _) = editor(&scene).await;
        let query = format!("profile_id={}&partial=true", scene.profile);
        let few: String = rows().lines().take(60).map(|line| format!("{line}\n")).collect();
        let told = events(&import(&editor, &scene.group, &query, &few, "").await);
        assert_eq!(counts(&told), [59, 39, 0, 0, 20]);
    }
}
