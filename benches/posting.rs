//! What the rule costs that turns a price into a charge: it runs under the wallets' row locks, for every OTP.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use nexo_route::domain::money::{Buckets, MicroUsd};
use nexo_route::domain::posting::charge;

const PRICE: MicroUsd = MicroUsd::from_micros(22_000);

fn wallet(free: i64, bonus: i64, cash: i64) -> Buckets {
    let amount = MicroUsd::from_micros;
    Buckets { free: amount(free), bonus: amount(bonus), cash: amount(cash) }
}

fn posting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("posting");
    for (name, wallet) in [
        ("from one bucket", wallet(0, 0, 10_000_000)),
        ("over three buckets", wallet(10_000, 10_000, 10_000_000)),
        ("insufficient", wallet(10_000, 1_000, 1_000)),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut wallet = black_box(wallet);
                black_box(charge(&mut wallet, black_box(PRICE)))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, posting);
criterion_main!(benches);
