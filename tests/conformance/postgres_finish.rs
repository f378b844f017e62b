//! The end of a transaction on PostgreSQL: its last statements and the COMMIT go out together.

use portcullis_authority::store::{
    postgres::{Postgres, PostgresOptions},
    sql::{Backend, Column, Connection, DbError, Lane, Statement},
};
use portcullis_tests::postgres::fresh_schema;

fn secret(name: &str) -> Statement {
    let params = vec![name.into(), (&b"sealed"[..]).into()];
    Statement {
        sql: "INSERT INTO secrets (kind, number, sealed, created_us, makes_from_us) \
              VALUES ($1, 1, $2, 0, 0)"
            .into(),
        params,
    }
}

async fn names(connection: &mut dyn Connection) -> Vec<String> {
    let rows = connection
        .query(
            "SELECT kind FROM secrets WHERE kind LIKE 'test%' ORDER BY kind",
            &[],
        )
        .await;
    rows.expect("names")
        .iter()
        .map(|row| row.text(Column::nth(0)).expect("a name"))
        .collect()
}

#[tokio::test]
async fn the_last_statements_commit_together_or_not_at_all() {
    let schema = fresh_schema().await;
    let engine = Postgres::connect(&schema.url, &PostgresOptions::default())
        .await
        .expect("connects");
    let mut connection = engine.connection(Lane::Append).await.expect("a connection");
    let begin = "INSERT INTO secrets (kind, number, sealed, created_us, makes_from_us) \
         VALUES ('test begin' || $1, 1, 'sealed', 0, 0)";

    connection.begin().await.expect("begins");
    connection
        .query(begin, &["1".into()])
        .await
        .expect("written");
    connection
        .finish(&[secret("test 1"), secret("test 2")])
        .await
        .expect("committed");
    assert_eq!(
        names(&mut *connection).await,
        ["test 1", "test 2", "test begin1"]
    );

    // Wherever the one that fails stands; and the connection is as good as before.
    for at in 0..3 {
        let mut last = vec![secret("test 3"), secret("test 4")];
        last.insert(at, secret("test 1"));
        connection.begin().await.expect("begins");
        connection
            .query(begin, &["2".into()])
            .await
            .expect("written");
        let failed = connection
            .finish(&last)
            .await
            .expect_err("a name that there is already");
        assert!(matches!(failed, DbError::Unique(_)), "{failed}");
        connection.rollback().await.expect("is over");
        assert_eq!(
            names(&mut *connection).await,
            ["test 1", "test 2", "test begin1"],
            "at {at}"
        );
    }

    // One that cannot even be prepared: the transaction is still open.
    connection.begin().await.expect("begins");
    connection
        .query(begin, &["3".into()])
        .await
        .expect("written");
    let broken = Statement {
        sql: "INSERT INTO nowhere VALUES (1)".into(),
        params: vec![],
    };
    connection
        .finish(&[secret("test 5"), broken])
        .await
        .expect_err("there is no such table");
    connection.rollback().await.expect("rolled back");
    assert_eq!(names(&mut *connection).await.len(), 3);

    connection.begin().await.expect("begins");
    connection
        .finish(&[secret("test 6")])
        .await
        .expect("nothing else was in it");
    assert_eq!(names(&mut *connection).await.len(), 4);
}
