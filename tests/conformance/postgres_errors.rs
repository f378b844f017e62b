//! Classes of PostgreSQL's errors.

use portcullis_authority::store::sql::{DbError, Lane};
use portcullis_tests::place::Place;

#[tokio::test]
async fn a_column_that_does_not_decode_is_no_outage() {
    let place = Place::postgres().await;
    let engine = place.engine().await;
    let mut connection = engine.connection(Lane::Read).await.expect("a connection");
    for sql in ["SELECT 1.5", "SELECT now()", "SELECT ARRAY[1]"] {
        let Err(error) = connection.query(sql, &[]).await else {
            panic!("{sql} decodes");
        };
        assert!(matches!(error, DbError::Other(_)), "{sql}: {error}");
    }
    let rows = connection.query("SELECT 1", &[]).await;
    assert_eq!(rows.expect("the connection is fit").len(), 1);
}
