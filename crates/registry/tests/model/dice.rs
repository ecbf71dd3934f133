//! Chance: numbers that follow from a seed, and the words to choose from.

use registry::Role;

use super::{
    commands::{ADDRESSES, Address, Expect, Id, Key, NOBODY, Person},
    reference::World,
};

pub const NAMES: &[&str] =
    &["pump", "Pump", "PUMP-1", "50%_off", "Zürich", "zürich", "a\\b", "valve \"7\"", "ö"];
pub const TEXTS: &[&str] =
    &["pum", "PUMP", "%", "_", "\\", "ü", "ZÜR", "\"7", "p-1", "a", "zzz", "p3@", "EXAMPLE"];
pub const METADATA: &[&str] = &[
    "{}",
    r#"{"site":"A","n":1}"#,
    r#"{"site":"B","n":1.0}"#,
    r#"{"tags":["a","b"],"site":"A"}"#,
    r#"{"deep":{"x":[1,{"y":null}],"z":true}}"#,
    r#"{"n":"1","flag":false}"#,
    r#"{"site":null}"#,
];
pub const FILTERS: &[&str] = &[
    "{}",
    r#"{"n":1}"#,
    r#"{"n":1.0}"#,
    r#"{"n":"1"}"#,
    r#"{"site":"A"}"#,
    r#"{"site":null}"#,
    r#"{"tags":["b"]}"#,
    r#"{"tags":[]}"#,
    r#"{"deep":{"x":[{"y":null}]}}"#,
    r#"{"flag":false,"n":"1"}"#,
];
pub const CONFIGS: &[&str] = &[
    "{}",
    r#"{"content_type":"application/json","write_enabled":false}"#,
    r#"{"content_type":"senml","x":{"y":[1]}}"#,
];
/// Long enough for keys.
pub const KEYS: &[&str] =
    &["SERIAL-0000-0001", "SERIAL-0000-0002", "serial-0000-0001", "Ω custom key no. 1", "0123456789abcdef"];
pub const SERIALS: &[&str] = &["SN-42", "EUI 7", "SERIAL-0000-0001", "SERIAL-0000-0003", "0123456789abcdef"];

/// Numbers that follow from one (SplitMix64), so that a command is a function of the world and a seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    pub fn one_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }

    pub fn any<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.roll(items.len() as u64)).unwrap()]
    }

    pub fn maybe<T: Copy>(&mut self, times: u64, items: &[T]) -> Option<T> {
        self.one_in(times).then(|| self.any(items))
    }

    /// One of those that are there; now and then, or if there is none, something that is not.
    pub fn target<T>(&mut self, world: &World, among: &std::collections::BTreeMap<Id, T>) -> Id {
        let there: Vec<Id> = among.keys().copied().collect();
        if there.is_empty() || self.one_in(25) { 1 + self.roll(world.next) } else { self.any(&there) }
    }

    pub fn several<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let many = match self.roll(40) {
            0 => 0,
            1..=7 => 2,
            8..=9 => 3,
            _ => 1,
        };
        (0..many).map(|_| make(self)).collect()
    }

    pub fn role(&mut self) -> Role {
        self.any(&[
            Role::Viewer,
            Role::Viewer,
            Role::Editor,
            Role::Editor,
            Role::Admin,
            Role::Admin,
            Role::Owner,
        ])
    }

    pub fn person(&mut self, world: &World) -> Person {
        if self.one_in(50) { NOBODY } else { self.anybody(world) }
    }

    pub fn anybody(&mut self, world: &World) -> Person {
        usize::try_from(self.roll(world.people.len() as u64)).unwrap()
    }

    pub fn address(&mut self) -> Address {
        usize::try_from(self.roll(ADDRESSES as u64)).unwrap()
    }

    pub fn expect(&mut self) -> Expect {
        match self.roll(20) {
            0..=3 => Expect::Back(1 + usize::try_from(self.roll(3)).unwrap()),
            4 => Expect::Never,
            5..=9 => Expect::Latest,
            _ => Expect::Any,
        }
    }
}

impl Key {
    /// Itself, if it is long enough to be a key, or else another one.
    pub fn long(self) -> Self {
        match self {
            Self::Text(text) if text.len() < 16 => Self::Text(KEYS[0]),
            key => key,
        }
    }
}
