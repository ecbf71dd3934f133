//! Queries whose text depends on the request (filters, pages): one builder for both engines. Text is
//! only ever a literal; everything that comes from outside is bound.

use std::future::poll_fn;

use sqlx::{AssertSqlSafe, Executor, FromRow, PgConnection, postgres::PgRow, sqlite::SqliteRow};
use uuid::Uuid;

use super::{Conn, Engine, Tx, conflict::translate};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    json::JsonObject,
};

mod contains;

/// A value to bind.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum Arg {
    Id(Uuid),
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
    /// JSON text; bound as JSONB on PostgreSQL.
    Json(String),
    Time(Timestamp),
    Now(Now),
    Bool(bool),
    /// No value, of that type: PostgreSQL has to be told which.
    Null(Absent),
}

/// The type of a value that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Absent {
    Id,
    Int,
    Text,
    Bytes,
    Json,
    Time,
    Bool,
}

/// The present moment, which is another one for the next page of the same list: to a cursor, which is
/// bound to what its list was asked, all of them are alike.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(crate) struct Now(pub(crate) Timestamp);

impl std::fmt::Debug for Now {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Now")
    }
}

/// The query with its values, for the engine that the context infers.
macro_rules! bound {
    ($sql:ident, $query:path) => {{
        #[expect(clippy::disallowed_methods, reason = "this builder's text is made of literals only")]
        let mut query = $query(AssertSqlSafe($sql.text.clone()));
        for arg in &$sql.args {
            query = match arg {
                Arg::Id(id) => query.bind(*id),
                Arg::Int(number) => query.bind(*number),
                Arg::Text(text) => query.bind(text.clone()),
                Arg::Bytes(bytes) => query.bind(bytes.clone()),
                Arg::Json(text) => query.bind(RawJson(text.clone())),
                Arg::Time(time) | Arg::Now(Now(time)) => query.bind(*time),
                Arg::Bool(value) => query.bind(*value),
                Arg::Null(Absent::Id) => query.bind(None::<Uuid>),
                Arg::Null(Absent::Int) => query.bind(None::<i64>),
                Arg::Null(Absent::Text) => query.bind(None::<String>),
                Arg::Null(Absent::Bytes) => query.bind(None::<Vec<u8>>),
                Arg::Null(Absent::Json) => query.bind(None::<RawJson>),
                Arg::Null(Absent::Time) => query.bind(None::<Timestamp>),
                Arg::Null(Absent::Bool) => query.bind(None::<bool>),
            };
        }
        query
    }};
}

/// Collects the rows of a stream as long as they are wanted; tells whether these are all.
macro_rules! taken {
    ($stream:expr, $wanted:ident) => {{
        let (mut stream, mut rows) = ($stream, Vec::new());
        loop {
            match poll_fn(|context| stream.as_mut().poll_next(context)).await {
                Some(Ok(row)) if $wanted(&row) => rows.push(row),
                Some(Ok(_)) => break Ok((rows, false)),
                Some(Err(error)) => break Err(error),
                None => break Ok((rows, true)),
            }
        }
    }};
}

/// How rows are read whose columns are known at run time only.
pub(crate) trait Shape: Sync {
    /// What becomes of a row.
    type Row: Send;
    fn of_sqlite(&self, row: &SqliteRow) -> sqlx::Result<Self::Row>;
    fn of_postgres(&self, row: &PgRow) -> sqlx::Result<Self::Row>;
}

/// Who is handed rows one by one.
pub(crate) trait Taker<R>: Send {
    fn take(&mut self, row: R) -> impl Future<Output = Result<()>> + Send;
}

/// Hands on the rows of a stream.
macro_rules! handed {
    ($stream:expr, $read:expr, $taker:ident) => {{
        let mut stream = $stream;
        loop {
            match poll_fn(|context| stream.as_mut().poll_next(context)).await {
                Some(Ok(row)) => $taker.take($read(&row).map_err(translate)?).await?,
                Some(Err(error)) => return Err(translate(error)),
                None => return Ok(()),
            }
        }
    }};
}

/// SQL text under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sql {
    text: String,
    args: Vec<Arg>,
}

impl Sql {
    pub(crate) fn new(text: &'static str) -> Self {
        Self { text: text.to_owned(), args: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Adds literal text.
    pub(crate) fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a placeholder and what goes into it.
    pub(crate) fn bind(&mut self, arg: Arg) -> &mut Self {
        use std::fmt::Write;
        self.args.push(arg);
        // Writing to a String does not fail.
        let _ = write!(self.text, "${}", self.args.len());
        self
    }

    /// Adds placeholders, separated by commas. With no values it adds NULL, which matches nothing.
    pub(crate) fn bind_all(&mut self, args: impl IntoIterator<Item = Arg>) -> &mut Self {
        let before = self.args.len();
        for arg in args {
            if self.args.len() > before {
                self.push(", ");
            }
            self.bind(arg);
        }
        if self.args.len() == before {
            self.push("NULL");
        }
        self
    }

    /// Adds another piece with its values.
    pub(crate) fn append(&mut self, piece: &Sql) -> &mut Self {
        let mut args = piece.args.iter();
        // Placeholders of the piece stand in order, so each is taken by the next value.
        let mut parts = piece.text.split('$');
        self.text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let after = part.trim_start_matches(|c: char| c.is_ascii_digit());
            if let Some(arg) = args.next() {
                self.bind(arg.clone());
            }
            self.text.push_str(after);
        }
        self
    }

    /// Adds `AND column contains text`, upper and lower ASCII case alike. Said by functions, here and
    /// below, because no index knows those: whether to use one is for store/search.rs to decide.
    pub(crate) fn and_name_contains(&mut self, conn: &Conn, column: &'static str, text: &str) -> &mut Self {
        if conn.is_postgres() {
            // Folds ASCII only, as SQLite does, whatever the database's own collation.
            self.push(" AND strpos(lower(").push(column).push(" COLLATE \"C\"), ");
        } else {
            self.push(" AND instr(lower(").push(column).push("), ");
        }
        self.bind(Arg::Text(text.to_ascii_lowercase())).push(") > 0")
    }

    /// Adds `AND column contains object`, by the rules of PostgreSQL's `@>`.
    pub(crate) fn and_json_contains(
        &mut self,
        conn: &Conn,
        column: &'static str,
        filter: &JsonObject,
    ) -> Result<()> {
        filter.check_filter().map_err(|error| Error::invalid("metadata", error.to_string()))?;
        if conn.is_postgres() {
            self.push(" AND jsonb_contains(")
                .push(column)
                .push(", ")
                .bind(Arg::Json(filter.to_text()))
                .push(")");
            return Ok(());
        }
        for (name, value) in &filter.members() {
            self.push(" AND ");
            contains::member(self, contains::Inside::Column(column), name, value);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) async fn fetch_all<T>(&self, conn: &mut Conn) -> Result<Vec<T>>
    where
        T: Send + Unpin + for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow>,
    {
        match conn.engine() {
            Engine::Sqlite(conn) => bound!(self, sqlx::query_as).fetch_all(conn).await,
            Engine::Postgres(conn) => bound!(self, sqlx::query_as).fetch_all(conn).await,
        }
        .map_err(translate)
    }

    /// Reads rows as they come, up to the first that is not wanted, and tells whether these are all: the
    /// rest is never in memory.
    pub(crate) async fn fetch_while<T>(
        &self,
        conn: &mut Conn,
        mut wanted: impl FnMut(&T) -> bool,
    ) -> Result<(Vec<T>, bool)>
    where
        T: Send + Unpin + for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow>,
    {
        match conn.engine() {
            Engine::Sqlite(conn) => taken!(bound!(self, sqlx::query_as).fetch(conn), wanted),
            Engine::Postgres(conn) => taken!(bound!(self, sqlx::query_as).fetch(conn), wanted),
        }
        .map_err(translate)
    }

    /// Hands on each row as it comes: only a few are in memory, however many there are.
    pub(crate) async fn for_each<S: Shape>(
        &self,
        conn: &mut Conn,
        shape: &S,
        taker: &mut impl Taker<S::Row>,
    ) -> Result<()> {
        match conn.engine() {
            Engine::Sqlite(conn) => {
                handed!(bound!(self, sqlx::query).fetch(conn), |row| shape.of_sqlite(row), taker)
            }
            Engine::Postgres(conn) => {
                handed!(bound!(self, sqlx::query).fetch(conn), |row| shape.of_postgres(row), taker)
            }
        }
    }

    /// Runs a statement; tells what the database has against it, untranslated.
    pub(crate) async fn try_execute(&self, tx: &mut Tx) -> sqlx::Result<u64> {
        match tx.engine() {
            Engine::Sqlite(conn) => {
                bound!(self, sqlx::query).execute(conn).await.map(|done| done.rows_affected())
            }
            Engine::Postgres(conn) => {
                bound!(self, sqlx::query).execute(conn).await.map(|done| done.rows_affected())
            }
        }
    }

    /// Runs a statement; tells how many rows it changed.
    pub(crate) async fn execute(&self, tx: &mut Tx) -> Result<u64> {
        self.try_execute(tx).await.map_err(translate)
    }

    pub(crate) async fn fetch_one<T>(&self, conn: &mut Conn) -> Result<Option<T>>
    where
        T: Send + Unpin + for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow>,
    {
        Ok(self.fetch_all(conn).await?.into_iter().next())
    }
}

/// Changes a table by a statement that PostgreSQL has put together itself, by its own `format('%I')`: names of
/// constraints cannot be bound.
// tidy: no permit, because it runs before there is anybody to ask.
pub(super) async fn alter(conn: &mut PgConnection, quoted_by_the_server: String) -> sqlx::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the server has quoted the names in it")]
    let statement = AssertSqlSafe(quoted_by_the_server);
    conn.execute(statement).await.map(drop)
}

/// The pattern of `LIKE … ESCAPE '\\'` for names that contain a text, folded as names are.
pub(crate) fn like_pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_ascii_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// JSON that is text already: TEXT on SQLite, JSONB on PostgreSQL.
#[derive(Clone, Debug)]
pub(crate) struct RawJson(pub(crate) String);

mod raw_json {
    use sqlx::{Database, Encode, Postgres, Sqlite, Type, encode::IsNull, error::BoxDynError};

    use super::RawJson;

    impl Type<Sqlite> for RawJson {
        fn type_info() -> <Sqlite as Database>::TypeInfo {
            <String as Type<Sqlite>>::type_info()
        }
    }

    impl<'q> Encode<'q, Sqlite> for RawJson {
        fn encode_by_ref(
            &self,
            buf: &mut <Sqlite as Database>::ArgumentBuffer,
        ) -> Result<IsNull, BoxDynError> {
            <String as Encode<'q, Sqlite>>::encode_by_ref(&self.0, buf)
        }
    }

    impl Type<Postgres> for RawJson {
        fn type_info() -> <Postgres as Database>::TypeInfo {
            <sqlx::types::JsonRawValue as Type<Postgres>>::type_info()
        }
    }

    impl<'q> Encode<'q, Postgres> for RawJson {
        fn encode_by_ref(
            &self,
            buf: &mut <Postgres as Database>::ArgumentBuffer,
        ) -> Result<IsNull, BoxDynError> {
            // JSONB's binary form: version 1, then the text.
            buf.push(1);
            buf.extend_from_slice(self.0.as_bytes());
            Ok(IsNull::No)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_pieces_are_renumbered() {
        let mut piece = Sql::new("name = ");
        piece.bind(Arg::Text("x".into())).push(" AND type = ").bind(Arg::Text("y".into()));
        let mut sql = Sql::new("SELECT 1 WHERE id = ");
        sql.bind(Arg::Int(1)).push(" AND ").append(&piece).push(" LIMIT ").bind(Arg::Int(2));
        assert_eq!(sql.text(), "SELECT 1 WHERE id = $1 AND name = $2 AND type = $3 LIMIT $4");
    }
}
