//! The file of rejected rows: as they were, with a column more that says why.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::super::{Failure, secrets};

/// The column that says why.
pub(super) const REASON: &[u8] = b"error";

/// The file, made before the import begins: the reasons must not be lost because it cannot be made.
pub(super) struct Rejects {
    path: PathBuf,
    file: Option<File>,
    csv: bool,
}

impl Rejects {
    pub(super) fn begin(path: &Path, csv: bool) -> Result<Self, Failure> {
        // Keys that the rows themselves bring are in it, so it is for its owner only too.
        let file = secrets::create(path, "--rejects")?;
        Ok(Self { path: path.to_owned(), file: Some(file), csv })
    }

    /// Copies the rejected rows. Those of CSV are counted, those of NDJSON found by their line.
    /// `again` if the last column is the reasons of an earlier import.
    pub(super) fn write(
        mut self,
        from: File,
        reasons: &BTreeMap<u64, String>,
        again: bool,
    ) -> Result<(), Failure> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let copied =
            if self.csv { of_csv(from, &file, reasons, again) } else { of_ndjson(from, &file, reasons) };
        let synced = copied.and_then(|()| file.sync_all());
        synced.map_err(|error| Failure::to(&format!("write {}", self.path.display()), &error))
    }
}

impl Drop for Rejects {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn of_csv(from: File, to: &File, reasons: &BTreeMap<u64, String>, again: bool) -> std::io::Result<()> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(from);
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(BufWriter::new(to));
    let mut header = reader.byte_headers()?.clone();
    // Reasons that an earlier import gave make room for those of this one.
    if again {
        header.truncate(header.len() - 1);
    }
    let columns = header.len();
    header.push_field(REASON);
    writer.write_byte_record(&header)?;
    let (mut row, mut record) = (0, csv::ByteRecord::new());
    while reader.read_byte_record(&mut record)? {
        row += 1;
        if let Some(reason) = reasons.get(&row) {
            // The reason stands under its title, however short the row is.
            if again && record.len() == columns + 1 {
                record.truncate(columns);
            }
            while record.len() < columns {
                record.push_field(b"");
            }
            record.push_field(reason.as_bytes());
            writer.write_byte_record(&record)?;
        }
    }
    writer.flush()
}

fn of_ndjson(from: File, to: &File, reasons: &BTreeMap<u64, String>) -> std::io::Result<()> {
    let mut writer = BufWriter::new(to);
    for (at, line) in (1..).zip(BufReader::new(from).lines()) {
        let line = line?;
        let Some(reason) = reasons.get(&at) else { continue };
        let row = match serde_json::from_str(line.trim_start_matches('\u{feff}')) {
            Ok(Value::Object(mut row)) => {
                row.insert("error".to_owned(), reason.clone().into());
                Value::Object(row)
            }
            _ => json!({"row": line, "error": reason}),
        };
        writeln!(writer, "{row}")?;
    }
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejected_rows_are_as_they_were_and_say_why() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("a.csv"), directory.path().join("b.csv"));
        std::fs::write(&from, "\u{feff}name,note\r\na,\"x\ny\"\r\nb\r\n\"c,\"\"d\",1\r\n").unwrap();
        let reasons = BTreeMap::from([(2, "too short".to_owned()), (3, "name, taken".to_owned())]);
        Rejects::begin(&to, true).unwrap().write(File::open(&from).unwrap(), &reasons, false).unwrap();
        let written = std::fs::read_to_string(&to).unwrap();
        assert_eq!(written, "name,note,error\nb,,too short\n\"c,\"\"d\",1,\"name, taken\"\n");

        let (from, to) = (to, directory.path().join("c.csv"));
        let reasons = BTreeMap::from([(1, "too short again".to_owned())]);
        Rejects::begin(&to, true).unwrap().write(File::open(&from).unwrap(), &reasons, true).unwrap();
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "name,note,error\nb,,too short again\n");

        let (from, to) = (directory.path().join("a.ndjson"), directory.path().join("b.ndjson"));
        std::fs::write(&from, "{\"name\":\"a\"}\n\n{\"name\":\"b\"}\nno\n").unwrap();
        let reasons = BTreeMap::from([(3, "taken".to_owned()), (4, "no object".to_owned())]);
        Rejects::begin(&to, false).unwrap().write(File::open(&from).unwrap(), &reasons, false).unwrap();
        let written = std::fs::read_to_string(&to).unwrap();
        assert_eq!(
            written,
            "{\"error\":\"taken\",\"name\":\"b\"}\n{\"error\":\"no object\",\"row\":\"no\"}\n"
        );
    }

    #[test]
    fn an_import_that_did_not_end_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let to = directory.path().join("b.csv");
        drop(Rejects::begin(&to, true).unwrap());
        assert!(!to.exists());
    }
}
