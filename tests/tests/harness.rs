//! The harness itself: a server that runs on after its test would be found only by the machine's owner.

use portcullis_tests::{postgres, wait::eventually};

#[tokio::test]
async fn each_case_has_a_schema_of_its_own() {
    let (one, other) = (
        postgres::fresh_schema().await,
        postgres::fresh_schema().await,
    );
    assert_ne!(one.name, other.name);
    let (client, connection) = tokio_postgres::connect(&one.url, tokio_postgres::NoTls)
        .await
        .expect("connects");
    tokio::spawn(connection);
    let row = client
        .query_one("SELECT current_schema()", &[])
        .await
        .expect("a row");
    assert_eq!(row.get::<_, String>(0), one.name);
}

#[tokio::test]
async fn a_cluster_stops_and_starts_where_it_was() {
    let mut cluster = postgres::Cluster::start(&["fsync=off"]).await;
    cluster
        .admin()
        .await
        .batch_execute("CREATE TABLE kept ()")
        .await
        .expect("a table");
    cluster.stop().await;
    cluster.run().await;
    cluster.kill().await;
    cluster.run().await;
    cluster
        .admin()
        .await
        .batch_execute("SELECT FROM kept")
        .await
        .expect("the table is there");
    let data = cluster.admin().await.text("SHOW data_directory").await;
    drop(cluster);
    eventually("the directory goes", async || {
        (!std::path::Path::new(&data).exists()).then_some(())
    })
    .await;
}
