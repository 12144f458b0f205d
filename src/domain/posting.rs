//! The rule that turns a price into a charge: free credit, then bonus credit, then cash.
//!
//! Pure, so that the group commit can decide a whole batch in memory under the wallets' row locks, and so that the
//! rule is property-tested. It never splits a charge that the wallet cannot pay in full.

use crate::domain::money::{Buckets, MicroUsd};

/// The wallet cannot pay; it holds `available` over all buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insufficient {
    pub available: MicroUsd,
}

/// Takes `price` from `wallet` in spend order and returns what each bucket gave.
///
/// # Errors
/// [`Insufficient`] if all three buckets together hold less than the price; the wallet is then unchanged.
pub fn charge(wallet: &mut Buckets, price: MicroUsd) -> Result<Buckets, Insufficient> {
    assert!(!price.is_negative(), "a price is never negative");
    let available = wallet.total().unwrap_or(MicroUsd::ZERO);
    if available < price {
        return Err(Insufficient { available });
    }
    let mut owed = price;
    let mut take = |bucket: MicroUsd| -> Option<MicroUsd> {
        let part = bucket.min(owed);
        owed = owed.checked_sub(part)?;
        Some(part)
    };
    let split = (|| Some(Buckets { free: take(wallet.free)?, bonus: take(wallet.bonus)?, cash: take(wallet.cash)? }))();
    let after = split.and_then(|split| Some((split, wallet.checked_sub(split)?)));
    let Some((split, after)) = after else {
        return Err(Insufficient { available });
    };
    assert_eq!(split.total(), Some(price), "a charge is exactly its price");
    *wallet = after;
    Ok(split)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn buckets(free: i64, bonus: i64, cash: i64) -> Buckets {
        Buckets {
            free: MicroUsd::from_micros(free),
            bonus: MicroUsd::from_micros(bonus),
            cash: MicroUsd::from_micros(cash),
        }
    }

    #[test]
    fn spends_free_then_bonus_then_cash() {
        let mut wallet = buckets(10, 20, 30);
        assert_eq!(charge(&mut wallet, MicroUsd::from_micros(45)), Ok(buckets(10, 20, 15)));
        assert_eq!(wallet, buckets(0, 0, 15));
        assert_eq!(
            charge(&mut wallet, MicroUsd::from_micros(16)),
            Err(Insufficient { available: MicroUsd::from_micros(15) })
        );
        assert_eq!(wallet, buckets(0, 0, 15), "a refused charge takes nothing");
    }

    proptest! {
        #[test]
        fn conserves_money_and_never_goes_below_zero(
            free in 0..100_000_i64, bonus in 0..100_000_i64, cash in 0..100_000_i64, price in 0..200_000_i64,
        ) {
            let before = buckets(free, bonus, cash);
            let mut wallet = before;
            match charge(&mut wallet, MicroUsd::from_micros(price)) {
                Ok(split) => {
                    prop_assert_eq!(wallet.checked_add(split), Some(before));
                    prop_assert_eq!(split.total(), Some(MicroUsd::from_micros(price)));
                    for part in [wallet.free, wallet.bonus, wallet.cash, split.free, split.bonus, split.cash] {
                        prop_assert!(!part.is_negative());
                    }
                    prop_assert!(split.bonus == MicroUsd::ZERO || wallet.free == MicroUsd::ZERO);
                    prop_assert!(split.cash == MicroUsd::ZERO || wallet.bonus == MicroUsd::ZERO);
                }
                Err(insufficient) => {
                    prop_assert_eq!(wallet, before);
                    prop_assert_eq!(Some(insufficient.available), before.total());
                    prop_assert!(insufficient.available < MicroUsd::from_micros(price));
                }
            }
        }
    }
}
