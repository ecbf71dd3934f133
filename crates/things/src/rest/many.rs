//! Bodies that hold one object, or an array of them.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ArrayBuilder, OneOfBuilder, Ref, RefOr, Schema},
};

/// One, or several.
pub(crate) enum OneOrMany<T> {
    One(Box<T>),
    Many(Vec<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Not an untagged enum: that would forget which field was wrong, and why.
        struct Either<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or an array of them")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut many = Vec::new();
                while let Some(item) = items.next_element()? {
                    many.push(item);
                }
                Ok(OneOrMany::Many(many))
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(|one| OneOrMany::One(Box::new(one)))
            }
        }

        from.deserialize_any(Either(PhantomData))
    }
}

impl<T: ToSchema> PartialSchema for OneOrMany<T> {
    fn schema() -> RefOr<Schema> {
        let one = || Ref::from_schema_name(T::name());
        let many = ArrayBuilder::new().items(one()).min_items(Some(1)).max_items(Some(registry::MAX_BULK));
        OneOfBuilder::new().item(one()).item(many).into()
    }
}

impl<T: ToSchema> ToSchema for OneOrMany<T> {
    fn name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        n: u8,
    }

    #[test]
    fn one_and_many_are_told_apart_and_refused_by_field() {
        let read = |text: &str| match serde_json::from_str::<OneOrMany<Item>>(text)? {
            OneOrMany::One(item) => Ok::<_, serde_json::Error>(vec![item.n]),
            OneOrMany::Many(items) => Ok(items.iter().map(|item| item.n).chain([0]).collect()),
        };
        assert_eq!(read(r#"{"n":1}"#).unwrap(), [1]);
        assert_eq!(read(r#"[{"n":1},{"n":2}]"#).unwrap(), [1, 2, 0]);
        assert_eq!(read("[]").unwrap(), [0]);
        for (bad, told) in [
            (r#"{"m":1}"#, "unknown field `m`"),
            (r#"[{"n":1},{"m":1}]"#, "unknown field `m`"),
            ("5", "an object or an array"),
            ("null", "an object or an array"),
        ] {
            assert!(read(bad).unwrap_err().to_string().contains(told), "{bad}");
        }
    }
}
