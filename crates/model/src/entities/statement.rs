//! What is said of an entity, and how it is corrected or taken back.

use super::InvalidField;

/// A statement about an entity. Its key (a customer or product and the `event_time`; an event's customer and id) and
/// its revision name it; a second statement of that name is a duplicate, whatever it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement<T> {
    /// What is said.
    pub about: T,
    /// Whether it is the first that is said under its key.
    pub revision: Revision,
}

/// Which statement under a key this is; of several the highest is believed, in whatever order they arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    number: i32,
    retracted: bool,
}

impl<T> Statement<T> {
    /// The first statement under its key.
    pub fn first(about: T) -> Self {
        Self { about, revision: Revision::default() }
    }
}

impl Revision {
    /// Revision 0 is the first statement; higher ones correct it or, if `retracted`, take it back.
    ///
    /// # Errors
    /// When the number does not fit into Postgres, or revision 0 is to take something back.
    pub fn new(number: u32, retracted: bool) -> Result<Self, InvalidField> {
        let number = i32::try_from(number)
            .map_err(|_| InvalidField::new("revision", format!("is {number}, over {}", i32::MAX)))?;
        if retracted && number == 0 {
            let reason = "is set on revision 0: what takes a statement back has a higher revision than it";
            return Err(InvalidField::new("retracted", reason));
        }
        Ok(Self { number, retracted })
    }

    /// From 0 to 2,147,483,647.
    pub fn number(self) -> i32 {
        self.number
    }

    /// Whether it takes the statement back.
    pub fn retracted(self) -> bool {
        self.retracted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_statement_takes_nothing_back() {
        assert_eq!(Statement::first("x").revision, Revision::new(0, false).unwrap());
        assert_eq!(Revision::new(0, true).unwrap_err().field, "retracted");
        assert!(Revision::new(1, true).unwrap().retracted());
    }

    #[test]
    fn a_number_that_postgres_cannot_store_is_refused() {
        assert_eq!(
            Revision::new(1 << 31, false).unwrap_err().to_string(),
            "revision is 2147483648, over 2147483647"
        );
        assert_eq!(Revision::new(i32::MAX as u32, false).unwrap().number(), i32::MAX);
    }
}
