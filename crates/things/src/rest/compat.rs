//! What Mainflux's clients send differently: bare arrays where the API has an object, and paths to
//! send people on to.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::{Problem, check::Check};

/// A list, either bare or in the object `O`.
pub(crate) struct ArrayOr<O, T> {
    items: Vec<T>,
    redirect_path: Option<String>,
    object: PhantomData<O>,
}

/// An object that holds a list.
pub(crate) trait Holds<T> {
    /// The list, and where a mail about it should lead.
    fn items(self) -> (Vec<T>, Option<String>);
}

/// The list, if what came with it is fine.
pub(crate) fn checked<O, T>(list: ArrayOr<O, T>) -> Result<Vec<T>, Problem> {
    Check::one(|check| {
        redirect_path(list.redirect_path.as_deref(), check);
        Some(list.items)
    })
}

impl<'de, O, T> Deserialize<'de> for ArrayOr<O, T>
where
    O: Deserialize<'de> + Holds<T>,
    T: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Not an untagged enum: that would forget which field was wrong, and why.
        struct Either<O, T>(PhantomData<(O, T)>);

        impl<'de, O, T> Visitor<'de> for Either<O, T>
        where
            O: Deserialize<'de> + Holds<T>,
            T: Deserialize<'de>,
        {
            type Value = (Vec<T>, Option<String>);

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok((list, None))
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
                O::deserialize(MapAccessDeserializer::new(members)).map(O::items)
            }
        }

        let (items, redirect_path) = from.deserialize_any(Either::<O, T>(PhantomData))?;
        Ok(Self { items, redirect_path, object: PhantomData })
    }
}

/// Where a mail should lead, in Mainflux. Ours lead to this service, so nobody can be sent elsewhere by
/// one; what could not be a path of a site is refused all the same, because the client meant something.
pub(crate) fn redirect_path(path: Option<&str>, check: &mut Check) {
    let Some(path) = path.filter(|path| !path.is_empty()) else { return };
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if path.len() > 1024 || !path.starts_with('/') || path.starts_with("//") || !plain {
        check.refuse("redirect_path", "must be a path such as /welcome, at most 1024 bytes long");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Members {
        members: Vec<u8>,
    }

    impl Holds<u8> for Members {
        fn items(self) -> (Vec<u8>, Option<String>) {
            (self.members, None)
        }
    }

    #[test]
    fn lists_come_bare_or_in_an_object() {
        let read = |text: &str| serde_json::from_str::<ArrayOr<Members, u8>>(text).map(|list| list.items);
        assert_eq!(read("[1,2]").unwrap(), [1, 2]);
        assert_eq!(read(r#"{"members":[1,2]}"#).unwrap(), [1, 2]);
        for bad in ["5", "null", "{}", r#"{"members":[1],"x":1}"#, "[-1]"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn redirects_stay_on_the_site() {
        let fine = |path| {
            Check::one(|check| {
                redirect_path(path, check);
                Some(())
            })
            .is_ok()
        };
        for good in [None, Some(""), Some("/"), Some("/welcome?from=mail")] {
            assert!(fine(good), "{good:?}");
        }
        let long = format!("/{}", "x".repeat(1024));
        for bad in [
            "welcome",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/a b",
            "/\r\nX: y",
            &long,
        ] {
            assert!(!fine(Some(bad)), "{bad:?}");
        }
    }
}
