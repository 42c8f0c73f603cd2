//! How a manifest type is declared: one line a field, from which the struct, its JSON form, its
//! strict decoder and the table of `docs/pods.md` all follow. A field cannot be supported in one
//! of them and forgotten in another.

/// The table of one record, for near names and for the documentation test.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Kubernetes name of the type.
    pub name: &'static str,
    /// Fields that podvisor honours.
    pub fields: &'static [&'static str],
    /// Fields that Kubernetes has and podvisor refuses.
    pub later: &'static [&'static str],
    /// Fields that an API server writes; read and dropped.
    pub ignored: &'static [&'static str],
}

/// Declares a mapping of the manifest.
macro_rules! record {
    (
        $(#[$meta:meta])*
        pub struct $type:ident {
            $(
                $(#[$fmeta:meta])*
                $field:ident : $ty:ty = $key:literal $([$($rule:ident),* $(,)?])?,
            )*
        }
        later: [$($later:literal),* $(,)?];
        $(ignored: [$($ignored:literal),* $(,)?];)?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct $type {
            $(
                $(#[$fmeta])*
                #[serde(
                    rename = $key,
                    default,
                    skip_serializing_if = "crate::manifest::decode::Blank::is_blank"
                )]
                pub $field: $ty,
            )*
        }

        impl $type {
            /// Names of the fields: supported, refused and dropped.
            pub const TABLE: crate::manifest::schema::Table = crate::manifest::schema::Table {
                name: stringify!($type),
                fields: &[$($key),*],
                later: &[$($later),*],
                ignored: &[$($($ignored),*)?],
            };
        }

        impl crate::manifest::decode::Blank for $type {}

        impl crate::manifest::decode::Decode for $type {
            fn decode(
                node: &crate::manifest::tree::Node,
                reader: &mut crate::manifest::decode::Reader,
            ) -> Self {
                let Some(entries) = reader.mapping(node, &Self::TABLE) else {
                    return Self::default();
                };
                Self {
                    $(
                        $field: reader.field(
                            node,
                            entries,
                            $key,
                            &[$($((stringify!($rule), crate::manifest::rules::$rule)),*)?],
                        ),
                    )*
                }
            }
        }
    };
}

/// Declares a string with a closed set of values; the first is the default.
macro_rules! choice {
    (
        $(#[$meta:meta])*
        pub enum $type:ident {
            $(#[$fmeta:meta])* $first:ident = $first_text:literal,
            $($(#[$vmeta:meta])* $variant:ident = $text:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord,
            serde::Serialize, serde::Deserialize,
        )]
        pub enum $type {
            $(#[$fmeta])*
            #[default]
            #[serde(rename = $first_text)]
            $first,
            $(
                $(#[$vmeta])*
                #[serde(rename = $text)]
                $variant,
            )*
        }

        impl $type {
            /// The value as Kubernetes writes it.
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::$first => $first_text,
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl crate::manifest::decode::Blank for $type {}

        impl crate::manifest::decode::Decode for $type {
            fn decode(
                node: &crate::manifest::tree::Node,
                reader: &mut crate::manifest::decode::Reader,
            ) -> Self {
                const ALL: &[($type, &str)] =
                    &[($type::$first, $first_text), $(($type::$variant, $text)),*];
                reader.choice(node, ALL)
            }
        }
    };
}

pub(crate) use choice;
pub(crate) use record;
