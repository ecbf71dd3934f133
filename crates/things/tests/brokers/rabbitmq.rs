//! RabbitMQ with its MQTT plugin and its HTTP backend.

use std::{
    fs,
    net::TcpStream,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{app::Engine, block, free_port, mqtt::Client, scene::Scene, wanted};

/// Where Debian has it, without the script that becomes another user.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// A virtual machine starts, and all of RabbitMQ in it.
const PATIENCE: Duration = Duration::from_secs(180);

/// A broker with a directory, a name and a port mapper of its own.
struct Broker {
    port: u16,
    server: Child,
    names: Child,
    _dir: tempfile::TempDir,
}

impl Broker {
    fn start(hooks: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (port, names_port, between) = (free_port(), free_port().to_string(), free_port().to_string());
        let page = block("rabbitmq.md", "# /etc/rabbitmq/rabbitmq.conf\n");
        assert!(
            page.contains("http://127.0.0.1:8184/hooks/")
                && page.contains("mqtt.listeners.tcp.default = 1883")
        );
        let config = page.replace("http://127.0.0.1:8184", hooks).replace(
            "mqtt.listeners.tcp.default = 1883",
            &format!("mqtt.listeners.tcp.1 = 127.0.0.1:{port}"),
        );
        // Only what is asked about here; AMQP would want a port as well.
        fs::write(dir.path().join("rabbitmq.conf"), format!("{config}\nlisteners.tcp = none\n")).unwrap();
        let plugins = block("rabbitmq.md", "# /etc/rabbitmq/enabled_plugins\n");
        fs::write(dir.path().join("enabled_plugins"), plugins).unwrap();

        let names = Command::new("epmd")
            .args(["-port", &names_port, "-address", "127.0.0.1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let log = fs::File::create(dir.path().join("start.log")).unwrap();
        let at = |name: &str| dir.path().join(name);
        let server = Command::new(PROGRAM)
            .env("HOME", dir.path())
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_NODENAME", format!("things{port}@localhost"))
            .env("RABBITMQ_DIST_PORT", between)
            .env("ERL_EPMD_PORT", names_port)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let mut broker = Self { port, server, names, _dir: dir };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = broker.server.try_wait().unwrap();
            let log = || fs::read_to_string(broker._dir.path().join("start.log")).unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "RabbitMQ does not start: {}", log());
            sleep(Duration::from_millis(200));
        }
        broker
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // The script has started the virtual machine in its group.
        let group = format!("-{}", self.server.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.server.wait();
        let _ = self.names.kill();
        let _ = self.names.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_talks_where_it_may_until_its_key_is_replaced() {
    if !wanted() {
        return;
    }
    let scene = Scene::new(Engine::Sqlite).await;
    let broker = Broker::start(&scene.hooks);
    let (sensor, controller) = (&scene.sensor, &scene.controller);
    let port = broker.port;

    // Connecting takes the thing's own key.
    assert!(Client::connect(port, "c-1", &sensor.id, "not its key").is_err());
    assert!(Client::connect(port, "c-1", &scene.device.id, &sensor.key).is_err());
    assert!(Client::connect(port, "c-1", "internal", &sensor.key).is_err());
    assert!(Client::connect(port, &scene.device.id, &sensor.id, &sensor.key).is_err(), "another's client id");

    // It hears what is said to it, and what it says itself where its messages are.
    let mut device = Client::connect(port, &sensor.id, &sensor.id, &sensor.key).ok().unwrap();
    assert!(device.subscribe(&scene.topic("things/{sensor}/commands/#")));
    let mut commander = Client::connect(port, "c-2", &controller.id, &controller.key).ok().unwrap();
    let command = scene.topic("things/{sensor}/commands/led");
    assert!(commander.publish(&command, "on"));
    assert_eq!(device.message(), Some((command, "on".to_owned())));
    let mut second = Client::connect(port, "c-3", &sensor.id, &sensor.key).ok().unwrap();
    assert!(second.publish(&scene.topic("things/{sensor}/messages/temperature"), "21"));

    // A refusal costs a RabbitMQ client its connection, or its subscription.
    for topic in
        ["things/{device}/messages", "messages", "things/{device}/commands", "groups/{group}/commands"]
    {
        let mut client = Client::connect(port, "c-4", &sensor.id, &sensor.key).ok().unwrap();
        assert!(!client.publish(&scene.topic(topic), "x"), "{topic}");
    }
    for filter in [
        "#",
        "things/+/messages",
        "things/{device}/commands/#",
        "things/*/messages",
        "things.{device}.messages",
    ] {
        let mut client = Client::connect(port, "c-5", &sensor.id, &sensor.key).ok().unwrap();
        assert!(!client.subscribe(&scene.topic(filter)), "{filter}");
    }
    let mut client = Client::connect(port, "c-6", &controller.id, &controller.key).ok().unwrap();
    assert!(!client.publish(&scene.topic("things/{elsewhere}/commands"), "x"), "another organisation's");

    let new = scene.rotate(sensor).await;
    assert!(Client::connect(port, "c-7", &sensor.id, &sensor.key).is_err());
    assert!(Client::connect(port, "c-7", &sensor.id, &new.key).is_ok());
    // A connection remembers what it was told about a topic; about others it asks.
    scene.disable(controller).await;
    assert!(!commander.publish(&scene.topic("things/{sensor}/commands/fan"), "off"), "it is disabled");
    assert!(Client::connect(port, "c-8", &controller.id, &controller.key).is_err());
}
