//! Whoever looks after a thing finds out why a broker did not let it in.

use serde_json::{Value, json};

use crate::{app::engines, scene::Scene};

impl Scene {
    async fn connects(&self, username: &str, client_id: &str, password: &str) -> bool {
        let body = json!({"username": username, "clientid": client_id, "password": password});
        self.json("/hooks/mosquitto/user", &body).await.status == 200
    }

    async fn read(&self, path: &str) -> Value {
        self.server.registry.write_activity().await.unwrap();
        self.root.get(path).await.expect(200)
    }
}

#[tokio::test]
async fn a_good_key_under_a_wrong_name_or_client_id_is_told_to_its_things_admins() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let (sensor, device) = (scene.sensor.clone(), scene.device.clone());
        for (username, client_id) in
            [(device.id.as_str(), "c"), ("sensor-17", "c"), (sensor.id.as_str(), device.id.as_str())]
        {
            assert!(!scene.connects(username, client_id, &sensor.key).await, "{username} {client_id}");
        }
        let path = format!("/things/{}/failed-checks", sensor.id);
        let checks = scene.read(&path).await;
        let told = |at: usize, field: &str| checks["failed_checks"][at][field].clone();
        assert_eq!(checks["total"], 2, "{checks}");
        assert_eq!((told(0, "reason"), told(0, "times")), (json!("client_id"), json!(1)));
        assert_eq!((told(1, "reason"), told(1, "times")), (json!("wrong_name"), json!(2)));
        assert_eq!((told(1, "front"), told(1, "thing_id")), (json!("hook"), json!(sensor.id)));
        let filtered = scene.read(&format!("{path}?reason=wrong_name")).await;
        assert_eq!(filtered["total"], 1);
        let others = scene.read(&format!("/things/{}/failed-checks", device.id)).await;
        assert_eq!(others["total"], 0, "whose name it was is not told");
        // It was not let in, and so not seen.
        let thing = format!("/things/{}", sensor.id);
        assert_eq!(scene.read(&thing).await["last_seen_at"], Value::Null);
        let passed = || scene.server.registry.device_checks().passed;
        assert_eq!(passed(), 0);
        assert!(scene.connects(&sensor.id, &sensor.id, &sensor.key).await);
        assert_eq!(passed(), 1);
        assert_ne!(scene.read(&thing).await["last_seen_at"], Value::Null);
    }
}
