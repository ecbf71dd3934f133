//! What was measured, as data: `--output json` writes it as it is, `text` for people.

use serde::Serialize;

use super::client::Ask;

/// All of it.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) commit: &'static str,
    pub(super) engine: &'static str,
    pub(super) cores: usize,
    /// How busy the machine was before, as the system counts it over a minute.
    pub(super) load_before: Option<f64>,
    pub(super) things: usize,
    pub(super) seconds_per_cell: f64,
    pub(super) seeded_in_seconds: f64,
    pub(super) first_time: FirstTime,
    /// The same for a part of the things, of a server that keeps nothing in memory.
    pub(super) without_cache: FirstTime,
    pub(super) memory: Memory,
    pub(super) cells: Vec<Cell>,
    pub(super) guessing: Option<Guessing>,
    pub(super) aims: Vec<Aim>,
    pub(super) notes: Vec<String>,
}

/// Each thing asked for once after a start: nothing is in memory.
#[derive(Clone, Serialize)]
pub(super) struct FirstTime {
    pub(super) ask: Ask,
    pub(super) connections: usize,
    pub(super) measured: Measured,
    /// Reads of the database for it.
    pub(super) database_reads: u64,
    pub(super) memory_before_mb: Option<f64>,
}

/// What the things' credentials take in memory.
#[derive(Clone, Serialize)]
pub(super) struct Memory {
    pub(super) credentials: u64,
    /// After the start.
    pub(super) started_mb: Option<f64>,
    /// After many checks, of a server that keeps nothing of them in memory.
    pub(super) without_mb: Option<f64>,
    /// With all credentials in memory.
    pub(super) with_mb: Option<f64>,
    /// The difference of these two.
    pub(super) added_mb: Option<f64>,
    pub(super) bytes_per_credential: Option<f64>,
}

/// One kind of load on both servers.
#[derive(Serialize)]
pub(super) struct Cell {
    pub(super) ask: Ask,
    pub(super) keys: Spread,
    pub(super) connections: usize,
    pub(super) ours: Measured,
    pub(super) bare: Measured,
    pub(super) cpu_ratio: Option<f64>,
    pub(super) throughput_ratio: f64,
    /// The share of our answers that came from memory.
    pub(super) from_memory: f64,
}

/// Which keys are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Spread {
    Hot,
    Uniform,
}

impl Spread {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Uniform => "uniform",
        }
    }
}

/// One server under one load.
#[derive(Clone, Serialize)]
pub(super) struct Measured {
    pub(super) requests: u64,
    pub(super) per_second: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// The server's processor time for each request.
    pub(super) cpu_us: Option<f64>,
    pub(super) memory_mb: Option<f64>,
}

/// Many wrong keys, and how devices fare meanwhile.
#[derive(Serialize)]
pub(super) struct Guessing {
    pub(super) ask: Ask,
    pub(super) wrong_keys: usize,
    pub(super) guessers: usize,
    pub(super) devices: usize,
    pub(super) database_reads: u64,
    pub(super) ours: Beside,
    pub(super) bare: Beside,
}

/// Devices before and during it.
#[derive(Serialize)]
pub(super) struct Beside {
    pub(super) wrong_keys_per_second: f64,
    pub(super) before: Measured,
    pub(super) during: Measured,
    pub(super) p99_ratio: f64,
}

/// What is wanted, and what there is.
#[derive(Serialize)]
pub(super) struct Aim {
    pub(super) what: String,
    pub(super) wanted: String,
    pub(super) measured: String,
    /// `None` if it could not be measured.
    pub(super) met: Option<bool>,
}

/// The most that our server may cost, against the bare one.
const HTTP: f64 = 1.4;
const GRPC: f64 = 1.25;
/// The most memory for a million credentials, in bytes for each.
const CREDENTIAL: f64 = 250.0;
/// Fewer credentials than this are lost in what else the memory holds.
const ENOUGH: u64 = 50_000;
/// How much slower devices may be served while others guess.
const BESIDE: f64 = 2.0;

impl Report {
    /// Sets what was measured against what is wanted.
    pub(super) fn judge(&mut self) {
        let mut aims = Vec::new();
        for (what, most, http) in [("HTTP", HTTP, true), ("gRPC", GRPC, false)] {
            let mut cells = self.cells.iter().filter(|cell| cell.ask.is_http() == http).peekable();
            if cells.peek().is_none() {
                continue;
            }
            let mut ratios: Option<Vec<f64>> = cells.map(|cell| cell.cpu_ratio).collect();
            if let Some(ratios) = &mut ratios {
                ratios.sort_by(f64::total_cmp);
            }
            let middle = ratios.as_ref().and_then(|ratios| ratios.get(ratios.len() / 2)).copied();
            let worst = ratios.as_ref().and_then(|ratios| ratios.last()).copied();
            aims.push(Aim {
                what: format!("server CPU for a request from memory, {what}"),
                wanted: format!("at most {most} × the bare server's"),
                measured: match (middle, worst) {
                    (Some(middle), Some(worst)) => format!("{middle:.2} × (median), {worst:.2} × (worst)"),
                    _ => UNKNOWN.to_owned(),
                },
                met: worst.map(|worst| worst <= most),
            });
        }
        let each = self.memory.bytes_per_credential.filter(|_| self.memory.credentials >= ENOUGH);
        aims.push(Aim {
            what: "memory for cached credentials".to_owned(),
            wanted: format!("under {CREDENTIAL:.0} MB for 1,000,000"),
            measured: match each {
                Some(each) => {
                    format!("{each:.0} bytes each, {:.1} MB added", self.memory.added_mb.unwrap_or(0.0))
                }
                None if self.memory.added_mb.is_some() => format!("too few things: take {ENOUGH} or more"),
                None => UNKNOWN.to_owned(),
            },
            met: each.map(|each| each < CREDENTIAL),
        });
        let (reads, checks) = (self.first_time.database_reads, self.first_time.measured.requests);
        aims.push(Aim {
            what: "reads of the database for a check that is not in memory".to_owned(),
            wanted: "1".to_owned(),
            measured: format!("{:.3}", reads as f64 / checks.max(1) as f64),
            met: Some(reads == checks),
        });
        if let Some(guessing) = &self.guessing {
            aims.push(Aim {
                what: format!("reads of the database for {} wrong keys", guessing.wrong_keys),
                wanted: "0".to_owned(),
                measured: guessing.database_reads.to_string(),
                met: Some(guessing.database_reads == 0),
            });
            let ratio = guessing.ours.p99_ratio;
            aims.push(Aim {
                what: "devices' p99 meanwhile".to_owned(),
                wanted: format!("at most {BESIDE} × its value before"),
                measured: format!("{ratio:.2} × (bare server: {:.2} ×)", guessing.bare.p99_ratio),
                met: Some(ratio <= BESIDE),
            });
        }
        self.aims = aims;
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "things {} (commit {}), {}, {} things, {} cores",
            self.version, self.commit, self.engine, self.things, self.cores
        );
        if let Some(load) = self.load_before {
            text.push_str(&format!(", load average before {load:.1}"));
        }
        text.push_str(&format!(
            "\nseeded in {:.1} s, {:.0} things/s\n",
            self.seeded_in_seconds,
            self.things as f64 / self.seeded_in_seconds.max(f64::MIN_POSITIVE)
        ));
        self.tell_first_time(&mut text);
        for ask in Ask::ALL {
            self.tell_cells(ask, &mut text);
        }
        if let Some(guessing) = &self.guessing {
            tell_guessing(guessing, &mut text);
        }
        text.push_str("\nAims\n");
        for aim in &self.aims {
            let mark = match aim.met {
                Some(true) => "met    ",
                Some(false) => "MISSED ",
                None => "unknown",
            };
            text.push_str(&format!("  {mark}  {}: {}; wanted: {}\n", aim.what, aim.measured, aim.wanted));
        }
        for note in &self.notes {
            text.push_str(&format!("\n{note}\n"));
        }
        text
    }

    fn tell_first_time(&self, text: &mut String) {
        let FirstTime { ask, connections, measured, database_reads, .. } = &self.first_time;
        text.push_str(&format!(
            "\nEach thing once after a start ({}, {connections} connections): {} checks/s, p50 {}, p99 {}, {} of \
             server CPU each, {database_reads} reads of the database for {} checks\n",
            ask.name(),
            count(measured.per_second),
            micros(Some(measured.p50_us)),
            micros(Some(measured.p99_us)),
            micros(measured.cpu_us),
            measured.requests,
        ));
        text.push_str(&format!(
            "Memory: {} after the start, {} after {} checks without a cache, {} with {} credentials in it: {} added\n",
            megabytes(self.memory.started_mb),
            megabytes(self.memory.without_mb),
            self.without_cache.measured.requests,
            megabytes(self.memory.with_mb),
            self.memory.credentials,
            megabytes(self.memory.added_mb),
        ));
    }

    fn tell_cells(&self, ask: Ask, text: &mut String) {
        let mut cells = self.cells.iter().filter(|cell| cell.ask == ask).peekable();
        if cells.peek().is_none() {
            return;
        }
        text.push_str(&format!("\n{}, ours and bare\n", ask.name()));
        text.push_str(&format!(
            "  {:<8} {:>5}  {:^26}  {:^24}  {:^19}  {:^19}  {:^15}  {:>6}\n",
            "keys", "conns", "server CPU per request", "requests/s", "p50", "p99", "memory", "cached"
        ));
        for cell in cells {
            let (ours, bare) = (&cell.ours, &cell.bare);
            text.push_str(&format!(
                "  {:<8} {:>5}  {:>9} {:>9}  {:>5}  {:>8} {:>8}  {:>5}  {:>9} {:>9}  {:>9} {:>9}  {:>7} {:>7}  {:>5.1}%\n",
                cell.keys.name(),
                cell.connections,
                micros(ours.cpu_us),
                micros(bare.cpu_us),
                cell.cpu_ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}×")),
                count(ours.per_second),
                count(bare.per_second),
                format!("{:.2}×", cell.throughput_ratio),
                micros(Some(ours.p50_us)),
                micros(Some(bare.p50_us)),
                micros(Some(ours.p99_us)),
                micros(Some(bare.p99_us)),
                megabytes(ours.memory_mb),
                megabytes(bare.memory_mb),
                cell.from_memory * 100.0,
            ));
        }
    }
}

fn tell_guessing(guessing: &Guessing, text: &mut String) {
    text.push_str(&format!(
        "\n{} wrong keys on {} connections ({}), beside {} connections of devices: {} reads of the database\n",
        guessing.wrong_keys,
        guessing.guessers,
        guessing.ask.name(),
        guessing.devices,
        guessing.database_reads,
    ));
    for (name, beside) in [("ours", &guessing.ours), ("bare", &guessing.bare)] {
        text.push_str(&format!(
            "  {name}: {} wrong keys/s; devices before: {} requests/s, p50 {}, p99 {}; during: {} requests/s, p50 {}, \
             p99 {} ({:.2}×)\n",
            count(beside.wrong_keys_per_second),
            count(beside.before.per_second),
            micros(Some(beside.before.p50_us)),
            micros(Some(beside.before.p99_us)),
            count(beside.during.per_second),
            micros(Some(beside.during.p50_us)),
            micros(Some(beside.during.p99_us)),
            beside.p99_ratio,
        ));
    }
}

const UNKNOWN: &str = "cannot be measured here: there is no /proc";

fn micros(micros: Option<f64>) -> String {
    match micros {
        None => "-".to_owned(),
        Some(micros) if micros >= 10_000.0 => format!("{:.1} ms", micros / 1000.0),
        Some(micros) => format!("{micros:.1} µs"),
    }
}

fn megabytes(megabytes: Option<f64>) -> String {
    megabytes.map_or_else(|| "-".to_owned(), |megabytes| format!("{megabytes:.0} MB"))
}

fn count(count: f64) -> String {
    format!("{count:.0}")
}
