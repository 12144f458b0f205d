//! Receipts by GET, with everything behind the URL's `?`.

use super::*;

fn bench(proof: &str) -> Bench {
    let path = std::env::temp_dir().join(format!("nexo-get-{:016x}", rand::random::<u64>()));
    std::fs::write(&path, "t0ken").expect("written");
    let proof = proof.replace("SECRET", &format!("{{ file = {path:?} }}"));
    let bench = Bench::reading(&[], &format!("method = \"GET\"\n{proof}\nreference = \"?id\"\nstatus = \"?dlr\""));
    std::fs::remove_file(&path).expect("removed");
    bench
}

const BY_QUERY: &str = "query = { name = \"key\", value = SECRET }";

#[tokio::test]
async fn a_receipt_by_get_is_taken_when_it_is_durable() {
    let bench = bench(BY_QUERY);
    *bench.sink.is_away.lock().expect("whole") = true;
    assert_eq!(bench.ask("GET /callbacks/tkc?key=t0ken&id=a%2F1&dlr=ok", "", "").await, 503);
    *bench.sink.is_away.lock().expect("whole") = false;
    assert_eq!(bench.ask("GET /callbacks/tkc?key=t0ken&id=a%2F1&dlr=ok", "", "").await, 200);
    let receipts = bench.receipts();
    assert_eq!((receipts.len(), receipts[0].state), (1, ReceiptState::Delivered));
    let Subject::Reference { references, .. } = &receipts[0].subject else { panic!("{receipts:?}") };
    assert_eq!(references[0].as_str(), "a/1");
}

#[tokio::test]
async fn the_secret_may_stand_in_a_header() {
    let bench = bench("header = { name = \"X-Key\", value = SECRET }");
    assert_eq!(bench.ask("GET /callbacks/tkc?id=a&dlr=ok", "", "").await, 401);
    assert_eq!(bench.ask("GET /callbacks/tkc?id=a&dlr=ok", "X-Key: t0ken\r\n", "").await, 200);
}

#[tokio::test]
async fn what_looks_at_the_url_settles_nothing() {
    let bench = bench(BY_QUERY);
    let line = "/callbacks/tkc?key=t0ken&id=a&dlr=ok";
    for method in ["HEAD", "OPTIONS", "POST", "PUT"] {
        let answer = bench.whole_answer(&format!("{method} {line}")).await;
        assert!(answer.starts_with("HTTP/1.1 405 ") && answer.to_ascii_lowercase().contains("allow: get"), "{answer}");
    }
    for (query, status) in [
        ("", 401),
        ("?id=a&dlr=ok", 401),
        ("?key=t0keN&id=a&dlr=ok", 401),
        ("?key=t0ken&key=t0ken&id=a&dlr=ok", 401),
        ("?key=t0ken", 400),
        ("?key=t0ken&id=a", 400),
        ("?key=t0ken&dlr=ok", 400),
        ("?key=t0ken&id=a&id=b&dlr=ok", 400),
        ("?key=t0ken&id=a&dlr=ok&dlr=no", 400),
    ] {
        assert_eq!(bench.ask(&format!("GET /callbacks/tkc{query}"), "", "").await, status, "{query}");
    }
    assert!(bench.receipts().is_empty());
    assert_eq!(Bench::start(SIGNED).ask("GET /callbacks/tkc?id=a&dlr=ok", "", "").await, 405, "only where it is said");
}

#[tokio::test]
async fn no_cache_keeps_an_answer() {
    let bench = bench(BY_QUERY);
    for query in ["?key=t0ken&id=a&dlr=ok", "?key=t0ken", ""] {
        let answer = bench.whole_answer(&format!("GET /callbacks/tkc{query}")).await.to_ascii_lowercase();
        assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
    }
}
