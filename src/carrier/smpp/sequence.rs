//! The numbers of a session's requests: 1 to 0x7FFFFFFF, then 1 again (SMPP 3.4 §3.2).

const LAST: u32 = 0x7FFF_FFFF;

#[derive(Debug)]
pub(super) struct Sequence {
    next: u32,
}

impl Sequence {
    pub(super) fn starting_at(first: u32) -> Self {
        Self { next: first.clamp(1, LAST) }
    }

    /// The next number that nothing waits under.
    pub(super) fn next(&mut self, is_taken: impl Fn(u32) -> bool) -> u32 {
        loop {
            let number = self.next;
            self.next = if number == LAST { 1 } else { number + 1 };
            if !is_taken(number) {
                return number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_last_comes_the_first_that_is_free() {
        let mut sequence = Sequence::starting_at(LAST - 1);
        let free = |_| false;
        assert_eq!([sequence.next(free), sequence.next(free), sequence.next(|n| n < 3)], [LAST - 1, LAST, 3]);
        assert_eq!(Sequence::starting_at(0).next(free), 1);
    }
}
