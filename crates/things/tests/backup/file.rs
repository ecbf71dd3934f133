//! A backup's file taken apart, changed, and put together again with whatever digest it takes to get further in.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The pepper of every test's keyring.
const PEPPER: [u8; 32] = [0; 32];

/// Head and rows; the end is made anew.
#[derive(Clone)]
pub struct File {
    pub head: Value,
    /// With their table.
    pub rows: Vec<Row>,
}

#[derive(Clone)]
pub struct Row {
    pub table: String,
    pub row: Value,
    /// Instead of the row, word for word.
    pub raw: Option<String>,
}

impl File {
    pub fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let head = serde_json::from_str(lines.next().unwrap()).unwrap();
        let mut rows = Vec::new();
        for line in lines {
            let line: Value = serde_json::from_str(line).unwrap();
            if line.get("end").is_none() {
                let table = line["table"].as_str().unwrap().to_owned();
                rows.push(Row { table, row: line["row"].clone(), raw: None });
            }
        }
        Self { head, rows }
    }

    /// The rows of a table.
    pub fn of(&self, table: &str) -> Vec<&Value> {
        self.rows.iter().filter(|row| row.table == table).map(|row| &row.row).collect()
    }

    /// At which place among the rows the first one of a table is that is so.
    pub fn at(&self, table: &str, is: impl Fn(&Value) -> bool) -> usize {
        self.rows
            .iter()
            .position(|row| row.table == table && is(&row.row))
            .unwrap_or_else(|| panic!("{table}"))
    }

    /// Changes the first row of a table; tells its line.
    pub fn edit(&mut self, table: &str, change: impl FnOnce(&mut Value)) -> usize {
        let at = self.at(table, |_| true);
        change(&mut self.rows[at].row);
        at + 2
    }

    /// Adds a row behind those of its table; tells its line.
    pub fn add(&mut self, table: &str, row: Value) -> usize {
        let last = self.rows.iter().rposition(|row| row.table == table).map_or(self.rows.len(), |at| at + 1);
        self.rows.insert(last, Row { table: table.to_owned(), row, raw: None });
        last + 2
    }

    /// Puts a line in the place of the first row of a table; tells which.
    pub fn replace(&mut self, table: &str, raw: impl Into<String>) -> usize {
        let at = self.at(table, |_| true);
        self.rows[at].raw = Some(raw.into());
        at + 2
    }

    /// Takes out the first row of a table that is so.
    pub fn remove(&mut self, table: &str, is: impl Fn(&Value) -> bool) {
        let at = self.at(table, is);
        self.rows.remove(at);
    }

    /// Put together, with the counts and the digest that it should have.
    pub fn sealed(mut self) -> String {
        let mut counts = serde_json::Map::new();
        for name in self.head["counts"].as_object().unwrap().keys() {
            counts.insert(name.clone(), json!(0));
        }
        for row in &self.rows {
            let count = counts.get(&row.table).and_then(Value::as_u64).unwrap_or(0);
            // What is no table is not counted, but is among the rows.
            let table = if counts.contains_key(&row.table) { row.table.as_str() } else { "users" };
            let before = counts.get(table).and_then(Value::as_u64).unwrap_or(count);
            counts.insert(table.to_owned(), json!(before + 1));
        }
        self.head["counts"] = Value::Object(counts);
        self.head["rows"] = json!(self.rows.len());
        self.sealed_as_it_is()
    }

    /// The same without putting the head right.
    pub fn sealed_as_it_is(&self) -> String {
        self.sealed_by(&PEPPER)
    }

    /// The same by another installation's pepper.
    pub fn sealed_by(&self, pepper: &[u8]) -> String {
        let mut text = head(&self.head);
        for row in &self.rows {
            let line = json!({ "table": row.table, "row": row.row }).to_string();
            text.push_str(row.raw.as_deref().unwrap_or(&line));
            text.push('\n');
        }
        let mac = mac(pepper, text.as_bytes());
        text.push_str(&format!("{{\"end\":true,\"rows\":{},\"mac\":\"{mac}\"}}\n", self.rows.len()));
        text
    }
}

/// A head begins with its format.
fn head(head: &Value) -> String {
    let mut others = head.clone();
    let format = others.as_object_mut().unwrap().remove("format").unwrap();
    format!("{{\"format\":{format},{}\n", &others.to_string()[1..])
}

fn mac(pepper: &[u8], text: &[u8]) -> String {
    let pepper = hmac::Key::new(hmac::HMAC_SHA256, pepper);
    let key = hmac::sign(&pepper, b"backup/1\0key");
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, text))
}
