//! SQL written once: a template and how each engine reads it.
//!
//! Tokens: `{rows}` (the row parameters as a relation: `UNNEST` on Postgres, one bound row on SQLite, executed per row),
//! `{now_us}` (the house's time in microseconds: the server's statement clock within the bounds that `clock` sets, which each
//! call brings along as its last parameter), `{server_us}` (the server's clock alone), `{for_update}`, `{for_update:t}` and
//! `{skip_locked}`. Row parameters are `$1…$k`, scalars follow. SQLite numbers `$n` by first appearance and would swap
//! values silently, so `$n` becomes `?n`.

use std::fmt;
use std::sync::OnceLock;

use crate::clock::RANGE_US;

/// The type of a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    I64,
    Text,
    Bytes,
    /// A UUID: `uuid` on Postgres, a 16-byte blob on SQLite.
    Id,
}

impl Type {
    const fn postgres(self) -> &'static str {
        match self {
            Self::I64 => "bigint",
            Self::Text => "text",
            Self::Bytes => "bytea",
            Self::Id => "uuid",
        }
    }
}

/// One column of the row parameters; every column of a call has the same length.
#[derive(Clone, Debug)]
pub enum Column<'a> {
    I64(Vec<i64>),
    OptI64(Vec<Option<i64>>),
    Text(Vec<&'a str>),
    OptText(Vec<Option<&'a str>>),
    Bytes(Vec<&'a [u8]>),
    OptBytes(Vec<Option<&'a [u8]>>),
    Id(Vec<uuid::Uuid>),
}

impl<'a> Column<'a> {
    /// A column of ids from their bytes.
    pub fn ids(ids: impl IntoIterator<Item = &'a [u8; 16]>) -> Self {
        Self::Id(ids.into_iter().map(|bytes| uuid::Uuid::from_bytes(*bytes)).collect())
    }

    /// How many rows the column has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::I64(v) => v.len(),
            Self::OptI64(v) => v.len(),
            Self::Text(v) => v.len(),
            Self::OptText(v) => v.len(),
            Self::Bytes(v) => v.len(),
            Self::OptBytes(v) => v.len(),
            Self::Id(v) => v.len(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    const fn kind(&self) -> Type {
        match self {
            Self::I64(_) | Self::OptI64(_) => Type::I64,
            Self::Text(_) | Self::OptText(_) => Type::Text,
            Self::Bytes(_) | Self::OptBytes(_) => Type::Bytes,
            Self::Id(_) => Type::Id,
        }
    }
}

/// One scalar parameter.
#[derive(Clone, Copy, Debug)]
pub enum Scalar<'a> {
    I64(i64),
    OptI64(Option<i64>),
    Text(&'a str),
    OptText(Option<&'a str>),
    Bytes(&'a [u8]),
    Id([u8; 16]),
    OptId(Option<[u8; 16]>),
}

impl Scalar<'_> {
    const fn kind(&self) -> Type {
        match self {
            Self::I64(_) | Self::OptI64(_) => Type::I64,
            Self::Text(_) | Self::OptText(_) => Type::Text,
            Self::Bytes(_) => Type::Bytes,
            Self::Id(_) | Self::OptId(_) => Type::Id,
        }
    }
}

/// A statement of the product, declared as a `static` beside the function that runs it.
pub struct Statement {
    name: &'static str,
    rows: &'static [Type],
    scalars: &'static [Type],
    template: &'static str,
    sqlite: [OnceLock<String>; CHUNKS.len()],
    postgres: OnceLock<String>,
}

/// A double holds microseconds of this century exactly; `extract` computes in decimals, three times slower.
const SERVER_US: &str = "(date_part('epoch', clock_timestamp()) * 1000000)::bigint";

/// How many rows one execution takes on SQLite, largest first. Each execution opens tables of its own for `RETURNING` and
/// a journal of its own, which costs more than the row does; a batch is cut into the largest pieces that fit.
pub(super) const CHUNKS: [usize; 4] = [128, 32, 8, 1];

impl Statement {
    /// Declares a statement: its name, the types of its row columns (`$1…`) and of the scalars that follow.
    #[must_use]
    pub const fn new(
        name: &'static str,
        rows: &'static [Type],
        scalars: &'static [Type],
        template: &'static str,
    ) -> Self {
        let sqlite = [const { OnceLock::new() }; CHUNKS.len()];
        Self { name, rows, scalars, template, sqlite, postgres: OnceLock::new() }
    }

    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the statement takes row parameters.
    #[must_use]
    pub const fn takes_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// The text for `CHUNKS[chunk]` rows. The rows' parameters come first, row by row, then the scalars, then the clock.
    pub(super) fn sqlite(&self, chunk: usize) -> &str {
        self.sqlite[chunk].get_or_init(|| {
            let width = self.rows.len();
            let tuple = |row: usize| {
                let parameters: Vec<String> = (1..=width).map(|at| format!("?{}", row * width + at)).collect();
                format!("({})", parameters.join(", "))
            };
            let tuples: Vec<String> = (0..CHUNKS[chunk]).map(tuple).collect();
            let mut text = drop_locks(self.template, |_| String::new(), "");
            // The longest numbers first: `$1` is the beginning of `$12`.
            for scalar in (1..=self.scalars.len()).rev() {
                let parameter = format!("${}", width + scalar);
                text = text.replace(&parameter, &format!("?{}", self.scalar_at(chunk, scalar)));
            }
            text.replace("{rows}", &format!("VALUES {}", tuples.join(", ")))
                .replace("{now_us}", &format!("?{}", self.now_at(chunk)))
                .replace("{server_us}", &format!("?{}", self.now_at(chunk) + 1))
        })
    }

    /// The position of the scalar of this number, counted from one.
    pub(super) const fn scalar_at(&self, chunk: usize, scalar: usize) -> usize {
        self.rows.len() * CHUNKS[chunk] + scalar
    }

    /// Where SQLite binds the time, and behind it the wall clock: its own date functions cost a microsecond a row and know milliseconds only.
    pub(super) const fn now_at(&self, chunk: usize) -> usize {
        self.scalar_at(chunk, self.scalars.len() + 1)
    }

    /// Whether the statement reads the house's time.
    pub(super) fn reads_time(&self) -> bool {
        self.template.contains("{now_us}")
    }

    /// Whether the statement reads the server's clock itself.
    pub(super) fn reads_server(&self) -> bool {
        self.template.contains("{server_us}")
    }

    pub(super) fn postgres(&self) -> &str {
        self.postgres.get_or_init(|| {
            let columns: Vec<String> =
                self.rows.iter().zip(1..).map(|(kind, n)| format!("${n}::{}[]", kind.postgres())).collect();
            let now_at = self.rows.len() + self.scalars.len() + 1;
            let mut text = self
                .template
                .replace("{rows}", &format!("SELECT * FROM UNNEST({})", columns.join(", ")))
                .replace(
                    "{now_us}",
                    &format!("GREATEST(LEAST({SERVER_US}, ${now_at}::bigint + {RANGE_US}), ${now_at}::bigint)"),
                )
                .replace("{server_us}", SERVER_US);
            for (kind, n) in self.scalars.iter().zip(self.rows.len() + 1..) {
                text = cast_parameter(&text, n, kind.postgres());
            }
            drop_locks(&text, |table| format!("FOR UPDATE{table}"), "SKIP LOCKED")
        })
    }

    /// Asserts that a call passes what the statement declares: a wrong order would bind silently wrong values.
    pub(super) fn check(&self, columns: &[Column<'_>], scalars: &[Scalar<'_>]) {
        assert!(
            columns.iter().map(Column::kind).eq(self.rows.iter().copied())
                && scalars.iter().map(Scalar::kind).eq(self.scalars.iter().copied()),
            "the parameters of {} are not of its types",
            self.name
        );
        let rows = columns.first().map_or(0, Column::len);
        assert!(columns.iter().all(|column| column.len() == rows), "the columns of {} differ in length", self.name);
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Replaces `{for_update}` and `{for_update:table}` by what `lock` makes of ` OF table`, and `{skip_locked}`.
fn drop_locks(text: &str, lock: impl Fn(&str) -> String, skip: &str) -> String {
    let mut text = text.replace("{skip_locked}", skip).replace("{for_update}", &lock(""));
    while let Some(at) = text.find("{for_update:") {
        let end = text[at..].find('}').map_or(text.len(), |length| at + length + 1);
        let table = text[at + "{for_update:".len()..end - 1].to_owned();
        text.replace_range(at..end, &lock(&format!(" OF {table}")));
    }
    text
}

/// Gives `$n` its type wherever it stands, so that Postgres never has to guess one.
fn cast_parameter(text: &str, n: usize, kind: &str) -> String {
    let parameter = format!("${n}");
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&parameter) {
        let after = &rest[at + parameter.len()..];
        out.push_str(&rest[..at + parameter.len()]);
        if !after.starts_with(|c: char| c.is_ascii_digit() || c == ':') {
            out.push_str("::");
            out.push_str(kind);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    static SAMPLE: Statement = Statement::new(
        "sample",
        &[Type::Id, Type::I64],
        &[Type::I64, Type::Text],
        "WITH r(a, b) AS ({rows}) SELECT t.a, $3, $4 FROM r JOIN t ON t.a = r.a WHERE t.b > {now_us} + $3 \
         ORDER BY t.a {for_update:t} {skip_locked}",
    );

    #[test]
    fn one_text_becomes_two() {
        assert_eq!(
            SAMPLE.postgres(),
            "WITH r(a, b) AS (SELECT * FROM UNNEST($1::uuid[], $2::bigint[])) SELECT t.a, $3::bigint, $4::text FROM r \
             JOIN t ON t.a = r.a WHERE t.b > GREATEST(LEAST((date_part('epoch', clock_timestamp()) * 1000000)::bigint, \
             $5::bigint + 3660000000), $5::bigint) + $3::bigint ORDER BY t.a FOR UPDATE OF t SKIP LOCKED"
        );
        assert_eq!(
            SAMPLE.sqlite(3),
            "WITH r(a, b) AS (VALUES (?1, ?2)) SELECT t.a, ?3, ?4 FROM r JOIN t ON t.a = r.a WHERE t.b > \
             ?5 + ?3 ORDER BY t.a  "
        );
    }

    #[test]
    fn a_chunk_numbers_its_rows_before_the_scalars() {
        let text = SAMPLE.sqlite(2);
        assert!(text.starts_with("WITH r(a, b) AS (VALUES (?1, ?2), (?3, ?4), "), "{text}");
        assert!(text.contains("(?15, ?16)) SELECT t.a, ?17, ?18 FROM"), "{text}");
        assert!(text.contains("t.b > ?19 + ?17"), "{text}");
        assert_eq!(SAMPLE.now_at(2), 19);
    }

    #[test]
    fn a_call_in_the_wrong_order_is_caught() {
        let right = [Column::Id(vec![]), Column::I64(vec![])];
        SAMPLE.check(&right, &[Scalar::I64(1), Scalar::Text("x")]);
        let wrong = std::panic::catch_unwind(|| SAMPLE.check(&right, &[Scalar::Text("x"), Scalar::I64(1)]));
        assert!(wrong.is_err());
        let ragged = [Column::Id(vec![]), Column::I64(vec![1])];
        assert!(std::panic::catch_unwind(|| SAMPLE.check(&ragged, &[Scalar::I64(1), Scalar::Text("x")])).is_err());
    }
}
