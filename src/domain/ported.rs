//! Ported numbers by the million: five bytes a number, found by binary search.
//!
//! It owns the compact table, not the file that it is read from. A number is given once; twice with two carriers is a
//! contradiction that is told by its lines, never decided here.

use std::fmt;

use crate::domain::numbering::Allotment;
use crate::domain::phone::Phone;

/// The carriers that one table may name.
pub const CARRIERS_MAX: usize = 1 << CARRIER_BITS;
/// The lines that a table may be read from.
pub const LINES_MAX: u32 = (1 << LINE_BITS) - 1;

const CARRIER_BITS: u32 = 8;
const LINE_BITS: u32 = 26;

/// One number is given with two carriers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contradiction {
    pub line: u32,
    /// Where it was given before.
    pub before: u32,
}

/// Phone → the carrier that it moved to.
#[derive(Default)]
pub struct PortedNumbers {
    /// National numbers, ascending.
    phones: Box<[u32]>,
    /// For each of them the place of its carrier.
    carriers: Box<[u8]>,
    named: Box<[Allotment]>,
}

/// How many; never which.
impl fmt::Debug for PortedNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PortedNumbers({})", self.len())
    }
}

impl PortedNumbers {
    #[must_use]
    pub fn get(&self, phone: Phone) -> Option<&Allotment> {
        let at = self.phones.binary_search(&phone.national()).ok()?;
        self.named.get(usize::from(*self.carriers.get(at)?))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.phones.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.phones.is_empty()
    }

    /// The bytes that the rows take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.phones) + size_of_val(&*self.carriers)
    }
}

/// Rows in any order, of which a table is made. A row takes eight bytes until then.
#[derive(Debug)]
pub struct PortedRows {
    /// Phone, line and carrier, from the highest bit down: they sort by phone, then by line.
    rows: Vec<u64>,
    named: Vec<Allotment>,
}

impl PortedRows {
    /// For rows that name one of `carriers`, of which there may be [`CARRIERS_MAX`].
    #[must_use]
    pub fn new(carriers: Vec<Allotment>) -> Self {
        Self { rows: Vec::new(), named: carriers }
    }

    /// Adds a row of `line`, at most [`LINES_MAX`]; `carrier` is a place in the list that the rows were made with.
    pub fn add(&mut self, line: u32, phone: Phone, carrier: u8) {
        let row = u64::from(phone.national()) << LINE_BITS | u64::from(line.min(LINES_MAX));
        self.rows.push(row << CARRIER_BITS | u64::from(carrier));
    }

    /// # Errors
    /// The first [`Contradiction`].
    pub fn finish(mut self) -> Result<PortedNumbers, Contradiction> {
        self.rows.sort_unstable();
        let mut phones: Vec<u32> = Vec::with_capacity(self.rows.len());
        let mut carriers: Vec<u8> = Vec::with_capacity(self.rows.len());
        let mut before = 0;
        for row in &self.rows {
            let (phone, line, carrier) = taken_apart(*row);
            if phones.last() != Some(&phone) {
                phones.push(phone);
                carriers.push(carrier);
            } else if carriers.last() != Some(&carrier) {
                return Err(Contradiction { line, before });
            }
            before = line;
        }
        drop(self.rows);
        Ok(PortedNumbers { phones: phones.into(), carriers: carriers.into(), named: self.named.into() })
    }
}

fn taken_apart(row: u64) -> (u32, u32, u8) {
    let low = |bits: u64, width: u32| u32::try_from(bits & ((1 << width) - 1)).unwrap_or(u32::MAX);
    let phone = u32::try_from(row >> (CARRIER_BITS + LINE_BITS)).unwrap_or(u32::MAX);
    let carrier = u8::try_from(low(row, CARRIER_BITS)).unwrap_or(u8::MAX);
    (phone, low(row >> CARRIER_BITS, LINE_BITS), carrier)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::carrier::Carrier;

    fn rows() -> PortedRows {
        let carrier = |name| Allotment::NotServed(Carrier::new(name).expect("sane"));
        PortedRows::new(vec![carrier("a"), carrier("b")])
    }

    fn phone(number: u32) -> Phone {
        Phone::from_national_number(number).expect("a mobile")
    }

    #[test]
    fn numbers_are_found_and_their_neighbours_are_not() {
        let mut rows = rows();
        for (line, (number, carrier)) in [(981_234_567, 1), (300_000_000, 0), (999_999_999, 1)].into_iter().enumerate()
        {
            rows.add(u32::try_from(line).expect("small"), phone(number), carrier);
        }
        let ported = rows.finish().expect("no contradiction");
        let of = |number| ported.get(phone(number)).map(|allotment| allotment.carrier().as_str());
        assert_eq!([of(300_000_000), of(981_234_567), of(999_999_999)], [Some("a"), Some("b"), Some("b")]);
        assert_eq!([of(300_000_001), of(981_234_566), of(981_234_568)], [None; 3]);
        assert_eq!((ported.len(), ported.bytes()), (3, 15));
        assert!(PortedNumbers::default().get(phone(981_234_567)).is_none());
    }

    #[test]
    fn a_repetition_is_one_row_and_a_contradiction_is_told_by_its_lines() {
        let mut twice = rows();
        twice.add(1, phone(981_234_567), 1);
        twice.add(9, phone(981_234_567), 1);
        assert_eq!(twice.finish().map(|ported| ported.len()), Ok(1));
        let mut torn = rows();
        torn.add(LINES_MAX, phone(981_234_567), 0);
        torn.add(7, phone(981_234_567), 1);
        let contradiction = Contradiction { line: LINES_MAX, before: 7 };
        assert_eq!(torn.finish().err(), Some(contradiction));
    }
}
