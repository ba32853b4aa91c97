//! Macros that declare the types of the configuration: objects by their keys, enums by their words.

/// Declares an object of the configuration: the struct, its `Read` and its JSON Schema.
///
/// A key is `name: Type`, or `name as "key": Type` if Rust reserves the word. It becomes a `Field<Type>`. With
/// `= default`, in JSON, it becomes a `Defaulted<Type>`. Doc comments are the schema's descriptions.
///
/// Marks are for the schema alone: `[Required]`; `[Filled]`, a list that may not be empty; `[Nested]`, an object whose
/// keys have defaults, so that its own default `{}` is not shown.
///
/// `#[expected]` is the object in messages. `#[refined]` is a function that adds to the schema how keys depend on each
/// other.
macro_rules! object {
    (
        $(#[doc = $about:literal])*
        $(#[expected($expected:literal)])?
        $(#[refined($refined:path)])?
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $field:ident $(as $key:literal)?: $type:ty $([$mark:ident])? $(= $default:tt)?,
            )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug)]
        pub struct $name {
            $($(#[doc = $doc])* pub $field: object!(@type $type $(, $default)?),)*
        }

        impl $name {
            const KEYS: &[&str] = &[$(object!(@key $field $($key)?)),*];

            /// Reads it as an object that knows these keys.
            fn read_with(node: Node<'_>, keys: &[&str]) -> Option<Self> {
                let object = node.object(keys, object!(@expected $($expected)?))?;
                Some(Self { $($field: object!(@read object, object!(@key $field $($key)?) $(, $default)?),)* })
            }
        }

        impl Read for $name {
            fn read(node: Node<'_>) -> Option<Self> {
                Self::read_with(node, Self::KEYS)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                use $crate::config::object_schema;
                let schema = object_schema::object(&[$($about),*], vec![$(object_schema::Key {
                    name: object!(@key $field $($key)?),
                    about: &[$($doc),*],
                    schema: generator.subschema_for::<$type>(),
                    mark: None$(.or(Some(object_schema::Mark::$mark)))?,
                    default: None$(.or(Some(stringify!($default))))?,
                }),*], generator);
                $(let schema = $refined(schema);)?
                schema
            }
        }
    };
    (@type $type:ty) => { $crate::config::reader::Field<$type> };
    (@type $type:ty, $default:tt) => { $crate::config::reader::Defaulted<$type> };
    (@read $object:ident, $key:expr) => { $object.field($key) };
    (@read $object:ident, $key:expr, $default:tt) => { $object.defaulted($key, stringify!($default))? };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (@expected) => { "an object" };
    (@expected $expected:literal) => { $expected };
}
pub(super) use object;

/// Implements `Read` and the JSON Schema for an enum: each word with its value.
macro_rules! words {
    ($type:ident: $($word:literal => $value:ident),+) => {
        impl Read for $type {
            fn read(node: Node<'_>) -> Option<Self> {
                node.word(&[$($word),+]).and_then(|place| [$($type::$value),+].get(place).copied())
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "enum": [$($word),+]})
            }
        }
    };
}
pub(super) use words;

#[cfg(test)]
mod tests {
    use super::super::json::Json;
    use super::super::problems::{Path, Problems};
    use super::super::reader::{Field, Node, Read};
    use super::super::values::Integer;

    object! {
        pub struct Outer {
            size: Size,
            mode as "type": Mode,
            items: Vec<Field<Outer>>,
        }
    }

    type Size = Integer<0, 10_000>;

    #[derive(Clone, Copy, Debug, PartialEq)]
    pub enum Mode {
        Soft,
        Hard,
    }

    words!(Mode: "soft" => Soft, "hard" => Hard);

    fn problems_of(json: &str) -> Vec<String> {
        let json: Json = serde_json::from_str(json).unwrap();
        let problems = Problems::default();
        let _ = Outer::read(Node::root(&json, &problems));
        problems.into_list().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn valid_values_are_read_and_omitted_ones_are_absent() {
        let json: Json = serde_json::from_str(r#"{"type": "hard", "items": [{"size": 2}, 1]}"#).unwrap();
        let problems = Problems::default();
        let outer = Outer::read(Node::root(&json, &problems)).unwrap();
        assert!(outer.size.is_absent());
        assert_eq!(outer.mode.as_given(), Some(&Mode::Hard));
        let items = outer.items.as_given().unwrap();
        assert_eq!(items[0].as_given().and_then(|inner| inner.size.as_given()).map(|size| size.0), Some(2));
        assert!(items[1].as_given().is_none() && !items[1].is_absent());
    }

    #[test]
    fn a_default_replaces_an_absent_or_invalid_value() {
        object! {
            pub struct WithDefaults {
                size: Size = 7,
                mode: Mode = "hard",
                items: Vec<Field<Size>> = [1, 2],
            }
        }
        let json: Json = serde_json::from_str(r#"{"size": -1, "mode": "soft"}"#).unwrap();
        let problems = Problems::default();
        let read = WithDefaults::read(Node::root(&json, &problems)).unwrap();
        assert_eq!((read.size.0, *read.mode, read.items.len()), (7, Mode::Soft, 2));
        assert!(!read.size.is_valid() && !read.size.is_absent() && read.size.as_given().is_none());
        assert!(read.mode.is_valid() && read.mode.as_given() == Some(&Mode::Soft));
        assert!(read.items.is_valid() && read.items.is_absent() && read.items.as_given().is_none());
        assert_eq!(problems.into_list().len(), 1);
    }

    #[test]
    fn every_mistake_is_reported_with_its_path() {
        assert_eq!(
            problems_of(
                r#"{"size": "big", "type": "sfot", "mode": 1, "x-y": 1,
                    "items": [{"type": 7}, 5, {"size": -1, "size": 1, "items": {}}, []]}"#
            ),
            [
                "mode: unknown key; expected one of size, type, items",
                r#"["x-y"]: unknown key; expected one of size, type, items"#,
                r#"size: found "big", expected an integer from 0 to 10000"#,
                r#"type: "sfot" is none of soft, hard"#,
                "items[0].type: found 7, expected one of soft, hard",
                "items[1]: found 5, expected an object",
                "items[2].size: is given twice; expected once",
                "items[2].size: found -1, expected an integer from 0 to 10000",
                "items[2].items: found an object, expected a list",
                "items[3]: found a list, expected an object",
            ]
        );
    }

    #[test]
    fn a_double_without_a_fraction_is_an_integer() {
        assert_eq!(problems_of(r#"{"size": 6144.0}"#), [""; 0]);
        assert_eq!(problems_of(r#"{"size": 1.5}"#), ["size: found 1.5, expected an integer from 0 to 10000"]);
    }

    #[test]
    fn an_absent_value_is_noted_and_an_invalid_one_is_not_noted_again() {
        let problems = Problems::default();
        let field: Field<u8> = Field::Absent;
        assert_eq!(field.required(&Path::Root.key("a"), "a number", &problems), None);
        let field: Field<u8> = Field::Invalid;
        assert_eq!(field.required(&Path::Root.key("b"), "a number", &problems), None);
        let list = problems.into_list();
        assert_eq!(list.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a: is missing; expected a number"]);
    }
}
