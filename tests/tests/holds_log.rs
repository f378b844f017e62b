//! The log under load: fair between tenants, and nothing grows without a bound.

use std::time::Instant;

use portcullis_authority::store::Store;
use portcullis_tests::{given::sign_out, place::Place};

#[tokio::test]
async fn timing() {
    for place in [Place::sqlite().await, Place::postgres().await] {
        let store = place.store().await;
        let users: Vec<String> = (0..1000).map(|n| format!("user-{n}")).collect();
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        for _ in 0..6 {
            let begun = Instant::now();
            store
                .append(&[sign_out("t", &users)])
                .await
                .expect("appended");
            println!("1000: {:?}", begun.elapsed());
        }
        for _ in 0..6 {
            let begun = Instant::now();
            store
                .append(&[sign_out("t", &users[..64])])
                .await
                .expect("appended");
            println!("64: {:?}", begun.elapsed());
        }
        for _ in 0..6 {
            let begun = Instant::now();
            store
                .append(&[sign_out("t", &users[..1])])
                .await
                .expect("appended");
            println!("1: {:?}", begun.elapsed());
        }
    }
}
