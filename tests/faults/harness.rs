//! The harness itself: a server that runs on after its test would be found only by the machine's owner.

use std::{collections::BTreeSet, time::Duration};

use portcullis_tests::{
    hang::{go_on, hang},
    ports::free_port,
    postgres,
    proxy::{Link, Proxy},
    wait::{eventually, within},
};
use rustix::process::Pid;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
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

#[tokio::test]
async fn a_standby_is_promoted_though_it_must_still_replay_the_removal_of_rows() {
    let primary = postgres::Cluster::start(&["fsync=off", "max_standby_streaming_delay=0"]).await;
    let standby = primary.asynchronous_standby("standby1").await;
    let (writer, reader) = (primary.admin().await, standby.admin().await);
    let rows = "CREATE TABLE removed AS SELECT generate_series(1, 100) AS number";
    writer.batch_execute(rows).await.expect("rows");

    let paused = "SELECT 1 WHERE pg_get_wal_replay_pause_state() = 'paused'";
    reader.text("SELECT pg_wal_replay_pause()").await;
    eventually("the replay to pause", async || {
        reader.maybe_text(paused).await
    })
    .await;
    writer
        .batch_execute("DELETE FROM removed")
        .await
        .expect("removed");
    writer
        .batch_execute("VACUUM removed")
        .await
        .expect("vacuumed");
    let written = writer.text("SELECT pg_current_wal_flush_lsn()").await;
    let received = format!("SELECT 1 WHERE pg_last_wal_receive_lsn() >= '{written}'");
    eventually("the removal to arrive", async || {
        reader.maybe_text(&received).await
    })
    .await;

    standby.promote().await;
    let left = standby
        .admin()
        .await
        .text("SELECT count(*) FROM removed")
        .await;
    assert_eq!(left, "0");
}

#[tokio::test]
async fn a_process_that_hangs_uses_no_more_processor_time_until_it_goes_on() {
    let mut busy = std::process::Command::new("sh")
        .args(["-c", "while :; do :; done"])
        .spawn()
        .expect("a shell");
    let process = Pid::from_child(&busy);
    let used = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/schedstat", busy.id()));
        let nanoseconds = stat.expect("it runs");
        let nanoseconds = nanoseconds.split(' ').next().expect("a number");
        nanoseconds.parse::<u64>().expect("a number")
    };
    hang(process).await;
    let before = used();
    sleep(Duration::from_millis(50)).await;
    assert_eq!(used(), before);

    go_on(process);
    eventually("it to go on", async || (used() > before).then_some(())).await;
    busy.kill().expect("our own child");
    busy.wait().expect("it ends");
}

#[test]
fn a_port_is_chosen_by_one_test() {
    let ports: BTreeSet<_> = (0..100).map(|_| free_port()).collect();
    assert_eq!(ports.len(), 100);
    let name = format!("portcullis-tests-port-{}", ports.first().expect("ports"));
    let names = std::fs::read_to_string("/proc/net/unix").expect("the system's list");
    assert!(names.contains(&name), "no other process can choose it");
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
