//! Rows and scalars as the driver takes them.

use tokio_postgres::types::ToSql;

use crate::store::statement::{Column, Scalar};

/// Ids as the driver's type, kept alive for [`parameters`].
pub(super) fn scalar_ids(scalars: &[Scalar<'_>]) -> Vec<Option<uuid::Uuid>> {
    scalars
        .iter()
        .map(|scalar| match scalar {
            Scalar::Id(bytes) => Some(uuid::Uuid::from_bytes(*bytes)),
            Scalar::OptId(bytes) => bytes.map(uuid::Uuid::from_bytes),
            _ => None,
        })
        .collect()
}

/// The parameters in their order; `bound_us` is the last one of a statement that reads the house's time.
pub(super) fn parameters<'p>(
    columns: &'p [Column<'_>],
    scalars: &'p [Scalar<'_>],
    ids: &'p [Option<uuid::Uuid>],
    bound_us: Option<&'p Option<i64>>,
) -> Vec<&'p (dyn ToSql + Sync)> {
    let columns = columns.iter().map(|column| -> &(dyn ToSql + Sync) {
        match column {
            Column::I64(values) => values,
            Column::OptI64(values) => values,
            Column::Text(values) => values,
            Column::OptText(values) => values,
            Column::Bytes(values) => values,
            Column::OptBytes(values) => values,
            Column::Id(values) => values,
        }
    });
    let scalars = scalars.iter().zip(ids).map(|(scalar, id)| -> &(dyn ToSql + Sync) {
        match scalar {
            Scalar::I64(value) => value,
            Scalar::OptI64(value) => value,
            Scalar::Text(value) => value,
            Scalar::OptText(value) => value,
            Scalar::Bytes(value) => value,
            Scalar::Id(_) | Scalar::OptId(_) => id,
        }
    });
    columns.chain(scalars).chain(bound_us.map(|bound_us| bound_us as &(dyn ToSql + Sync))).collect()
}
