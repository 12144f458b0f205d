//! A row of a result, read by position.

use super::error::StoreError;

/// One row, from either engine.
#[derive(Debug)]
pub struct Row(pub(super) Values);

#[derive(Debug)]
pub(super) enum Values {
    Sqlite(Vec<rusqlite::types::Value>),
    Postgres(tokio_postgres::Row),
}

fn wrong(at: usize) -> StoreError {
    StoreError::Internal(format!("column {at} is not of the expected type"))
}

macro_rules! accessors {
    ($($(#[$doc:meta])* $get:ident, $get_opt:ident: $kind:ty, $sqlite:ident => $convert:expr;)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Errors
            /// [`StoreError::Internal`] if the column is missing, null or of another type.
            pub fn $get(&self, at: usize) -> Result<$kind, StoreError> {
                self.$get_opt(at)?.ok_or_else(|| wrong(at))
            }

            /// The same, where the column may be null.
            ///
            /// # Errors
            /// [`StoreError::Internal`] if the column is missing or of another type.
            pub fn $get_opt(&self, at: usize) -> Result<Option<$kind>, StoreError> {
                match &self.0 {
                    Values::Sqlite(values) => match values.get(at) {
                        Some(rusqlite::types::Value::$sqlite(value)) => {
                            let convert: fn(&_) -> Option<$kind> = $convert;
                            convert(value).map(Some).ok_or_else(|| wrong(at))
                        }
                        Some(rusqlite::types::Value::Null) => Ok(None),
                        _ => Err(wrong(at)),
                    },
                    Values::Postgres(row) => row.try_get(at).map_err(|_| wrong(at)),
                }
            }
        )*
    };
}

impl Row {
    accessors! {
        /// A whole number.
        i64, opt_i64: i64, Integer => |value| Some(*value);
        /// A text.
        text, opt_text: String, Text => |value: &String| Some(value.clone());
        /// A blob.
        bytes, opt_bytes: Vec<u8>, Blob => |value: &Vec<u8>| Some(value.clone());
        /// A UUID.
        uuid, opt_uuid: uuid::Uuid, Blob => |value: &Vec<u8>| uuid::Uuid::from_slice(value).ok();
    }

    /// The sixteen bytes of an id.
    ///
    /// # Errors
    /// [`StoreError::Internal`] if the column is missing, null or not an id.
    pub fn id(&self, at: usize) -> Result<[u8; 16], StoreError> {
        self.uuid(at).map(uuid::Uuid::into_bytes)
    }

    /// The sixteen bytes of an id that may be null.
    ///
    /// # Errors
    /// [`StoreError::Internal`] if the column is missing or not an id.
    pub fn opt_id(&self, at: usize) -> Result<Option<[u8; 16]>, StoreError> {
        self.opt_uuid(at).map(|id| id.map(uuid::Uuid::into_bytes))
    }
}
