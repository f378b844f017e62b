//! The harness itself: a server that runs on after its test would be found only by the machine's owner.

use std::time::Duration;

use portcullis_tests::{
    postgres,
    proxy::{Link, Proxy},
    wait::{eventually, within},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

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

/// Answers every byte with itself.
async fn echo() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn echoed(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).await.expect("sent");
    let mut answer = vec![0; bytes.len()];
    within("an echo", stream.read_exact(&mut answer))
        .await
        .expect("received");
    answer
}

#[tokio::test]
async fn a_proxy_forwards_drops_in_silence_flips_bits_and_resets() {
    let proxy = Proxy::start(echo().await).await;
    let mut stream = TcpStream::connect(proxy.address()).await.expect("connects");
    assert_eq!(echoed(&mut stream, b"hello").await, b"hello");
    assert_eq!(proxy.connections(), 1);

    proxy.set(Link::BLACK_HOLE);
    stream
        .write_all(b"lost?")
        .await
        .expect("the socket is open");
    let mut answer = [0; 5];
    let silent = timeout(Duration::from_millis(200), stream.read_exact(&mut answer)).await;
    assert!(silent.is_err(), "nothing comes and nothing closes");
    proxy.set(Link::default());
    within("the held bytes", stream.read_exact(&mut answer))
        .await
        .expect("the connection is open");
    assert_eq!(&answer, b"lost?");

    proxy.set_answers(Link {
        flip_one_in: 100,
        ..Link::default()
    });
    let zeros = vec![0; 10_000];
    let flipped = echoed(&mut stream, &zeros).await;
    let bits: u32 = flipped.iter().map(|byte| byte.count_ones()).sum();
    assert!((50..=200).contains(&bits), "{bits} of about 100 bits");

    proxy.reset();
    let end = within("the end", stream.read(&mut answer)).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    eventually("no connection is open", async || {
        (proxy.connections() == 0).then_some(())
    })
    .await;
}
