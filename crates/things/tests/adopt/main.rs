//! `things adopt`, the real program on databases as Mainflux makes them. On PostgreSQL only.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot go on"
)]

mod again;
#[path = "../../../registry/tests/support/mod.rs"]
mod databases;
mod kept;
mod killed;
mod people;
mod refused;
mod rules;

use std::{
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use databases::{Database, Engine, engines, settings};
use registry::{
    Clock, Keyring, Registry, Secret, Settings,
    credentials::{Asker, CredentialKind, Front},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_things");

/// Whether there is a PostgreSQL to try it on.
fn possible() -> bool {
    engines().contains(&Engine::Postgres)
}

fn things(dir: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("THINGS_")) {
        command.env_remove(name);
    }
    command.current_dir(dir);
    command
}

fn adopt(dir: &Path, database: &Database, arguments: &[&str]) -> Command {
    let mut command = things(dir);
    command.arg("adopt").arg(database.url()).args(arguments);
    command
}

/// Exit code, what was printed, and what was said of errors and progress.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// The registry with the keys that the program made.
async fn open(dir: &Path, database: &Database) -> registry::Result<Arc<Registry>> {
    let keyring = Keyring::load(&dir.join("things-data/things.keys"), false).unwrap();
    Registry::open(Settings { keyring, ..settings(database, Clock::system()) }).await
}

/// Which thing a credential names.
async fn named(registry: &Registry, kind: CredentialKind, credential: &str) -> Option<String> {
    let asker = Asker { front: Front::Http, source: None };
    let device = registry.authenticate_device(kind, &Secret::new(credential), &asker).await;
    device.ok().map(|device| device.thing.to_string())
}

/// Things with their key and external key, as Mainflux has them.
async fn credentials(database: &Database) -> Vec<(String, String, String)> {
    let rows = "SELECT id || '|' || key || '|' || COALESCE(external_key, '') FROM things ORDER BY id";
    database
        .texts(rows)
        .await
        .iter()
        .map(|row| {
            let mut parts = row.splitn(3, '|').map(str::to_owned);
            (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap())
        })
        .collect()
}

/// All that a database holds: its tables' columns and rows, its constraints and indexes.
async fn dump(database: &Database) -> String {
    let mut lines = database
        .texts(
            "SELECT concat_ws(' ', table_name, column_name, ordinal_position, data_type, character_maximum_length, is_nullable, column_default) \
             FROM information_schema.columns WHERE table_schema = 'public' UNION ALL \
             SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint \
             WHERE connamespace = 'public'::regnamespace UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
        )
        .await;
    let tables = "SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1";
    for table in database.texts(tables).await {
        lines.push(table.clone());
        lines.extend(database.texts(format!("SELECT t::text FROM {table} t ORDER BY 1")).await);
    }
    lines.join("\n")
}
