//! Deliveries that go on to their second channel: the row says so, for whoever gets a receipt of the first one again.

use crate::domain::carrier::Channel;
use crate::domain::ids::DeliveryId;
use crate::store::{Column, Statement, StoreError, Tx, Type};

/// A delivery and the channel that it is on from now.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Move {
    pub delivery: DeliveryId,
    pub channel: Channel,
}

static MOVE: Statement = Statement::new(
    "deliveries.move",
    &[Type::Id, Type::Text],
    &[],
    "WITH r(id, channel) AS ({rows}) UPDATE deliveries SET channel = r.channel FROM r \
     WHERE deliveries.id = r.id AND deliveries.status = 0",
);

/// Writes `moves`, if there are any; one of a delivery that has ended changes nothing.
pub(super) async fn write(tx: &Tx, moves: &[Move]) -> Result<(), StoreError> {
    if moves.is_empty() {
        return Ok(());
    }
    let mut sorted = moves.to_vec();
    sorted.sort_unstable();
    let columns = [
        Column::ids(sorted.iter().map(|moved| moved.delivery.as_bytes())),
        Column::Text(sorted.iter().map(|moved| moved.channel.as_str()).collect()),
    ];
    tx.execute(&MOVE, &columns, &[]).await.map(drop)
}
