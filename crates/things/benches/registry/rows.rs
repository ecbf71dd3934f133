//! The things that are measured with: names and metadata as installations have them, the same in
//! every run, spread so that some values are everywhere and some are rare.

use serde_json::{Value, json};

pub(crate) const KINDS: [&str; 8] =
    ["pump", "valve", "meter", "thermometer", "camera", "lock", "relay", "fan"];
pub(crate) const SITES: [&str; 10] =
    ["berlin", "paris", "tokyo", "lagos", "lima", "oslo", "quito", "delhi", "cairo", "perth"];
const TYPES: [&str; 4] = ["device", "sensor", "sensor", "actuator"];

/// The number of the first thing in a request of `SIZE` decides all of it.
pub(crate) const SIZE: usize = 1_000;

/// The `n`-th thing as a client sends it.
pub(crate) fn thing(n: usize) -> Value {
    let (kind, site) = (pick(n, 1, &KINDS), pick(n, 2, &SITES));
    let tag = if chance(n, 3, 1_000) == 0 { "vip" } else { "plain" };
    let place = if chance(n, 4, 3) == 0 { "indoor" } else { "outdoor" };
    json!({
        "name": name(n),
        "type": if chance(n, 5, 500) == 0 { "gateway" } else { pick(n, 6, &TYPES) },
        "metadata": {
            "serial": serial(n),
            "site": site,
            "model": format!("{kind}-{}", chance(n, 7, 20)),
            "firmware": format!("2.{}.{}", chance(n, 8, 7), chance(n, 9, 12)),
            "floor": chance(n, 10, 30),
            "battery": chance(n, 11, 101),
            "tags": [place, tag],
            "location": { "lat": chance(n, 12, 18_000), "lon": chance(n, 13, 36_000), "room": format!("r{}", chance(n, 14, 400)) },
        },
    })
}

/// For example `pump-berlin-0012345`.
pub(crate) fn name(n: usize) -> String {
    format!("{}-{}-{n:07}", pick(n, 1, &KINDS), pick(n, 2, &SITES))
}

/// No two things have the same.
pub(crate) fn serial(n: usize) -> String {
    format!("SN-{:012x}", mix(n as u64) >> 16)
}

/// A request's body: the things from the `first` on.
pub(crate) fn body(first: usize) -> crate::Result<Vec<u8>> {
    let things: Vec<Value> = (first..first + SIZE).map(thing).collect();
    Ok(serde_json::to_vec(&things)?)
}

fn pick<T: Copy + Default>(n: usize, what: u64, from: &[T]) -> T {
    from.get(chance(n, what, from.len())).copied().unwrap_or_default()
}

/// A number below `below`, for the `what`-th property of the `n`-th thing.
fn chance(n: usize, what: u64, below: usize) -> usize {
    let mixed = mix(n as u64 ^ what << 40);
    usize::try_from(mixed % below as u64).unwrap_or_default()
}

/// SplitMix64: random enough, the same everywhere.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
