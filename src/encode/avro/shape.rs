//! What a field holds, once its Singer schema is understood. The Avro schema and the encoder both follow from it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::decimal::Decimal;
use crate::singer::json::{Fault, Scanner};
use crate::singer::value::unescape;

/// A place for a value: a field, an item of an array, a value of a map.
#[derive(Debug, PartialEq)]
pub(super) struct Slot {
    /// Whether it is a union with null. A slot of [`Shape::Null`] is not.
    pub(super) nullable: bool,
    pub(super) shape: Shape,
}

#[derive(Debug, PartialEq)]
pub(super) enum Shape {
    Null,
    Boolean,
    Long,
    Double,
    Decimal(Decimal),
    Timestamp,
    Date,
    String,
    /// A string, of scalars of several types: strings as they are, the others as their JSON text.
    Text,
    /// A string that holds the JSON text of a value of any type, as the tap wrote it.
    Json,
    Array(Box<Slot>),
    Map(Box<Slot>),
    Record(Record),
}

impl Slot {
    pub(super) fn new(nullable: bool, shape: Shape) -> Self {
        Self {
            nullable: nullable && shape != Shape::Null,
            shape,
        }
    }

    /// A slot for anything.
    pub(super) fn any() -> Self {
        Self::new(true, Shape::Json)
    }

    /// Whether null, and so nothing at all, has a place here.
    pub(super) fn takes_null(&self) -> bool {
        self.nullable || self.shape == Shape::Null
    }
}

impl Shape {
    pub(super) fn is_scalar(&self) -> bool {
        !matches!(
            self,
            Self::Json | Self::Array(_) | Self::Map(_) | Self::Record(_)
        )
    }
}

/// An object whose fields are known.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) fields: Vec<Field>,
    places: HashMap<Box<str>, usize>,
    /// Which field came behind each in the last record that was read, the first one at the end. It is a guess
    /// that saves the look into the table, and no more: records of a stream have the same order nearly always.
    next: Vec<AtomicUsize>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Field {
    /// As the tap has it.
    pub(super) name: Box<str>,
    /// How the name is spelt in JSON, quotes included, most likely.
    spelling: Box<str>,
    pub(super) slot: Slot,
}

impl Field {
    pub(super) fn new(name: &str, slot: Slot) -> Self {
        Self {
            name: name.into(),
            spelling: Value::from(name).to_string().into(),
            slot,
        }
    }
}

impl Record {
    pub(super) fn new(fields: Vec<Field>) -> Self {
        let names = fields.iter().map(|field| field.name.clone());
        let places = names.zip(0..).collect();
        let count = fields.len();
        let next = (1..=count).chain([0]).map(AtomicUsize::new).collect();
        Self {
            fields,
            places,
            next,
        }
    }

    /// The place before the first field, for [`Record::next_field`].
    pub(super) fn before_first(&self) -> usize {
        self.fields.len()
    }

    /// Takes the next key of an object whose last one, before which the scanner stands, was that of the field
    /// `behind`. Returns what it is and, if the field is declared, its place.
    #[inline]
    pub(super) fn next_field<'a>(
        &self,
        scanner: &mut Scanner<'a>,
        is_first: bool,
        behind: usize,
    ) -> Result<Next<'a>, Fault> {
        let guess = self.next[behind].load(Ordering::Relaxed);
        if let Some(field) = self.fields.get(guess)
            && scanner.take_key(is_first, &field.spelling)
        {
            return Ok(Next::Field(guess));
        }
        self.look_up(scanner, is_first, behind)
    }

    #[cold]
    fn look_up<'a>(
        &self,
        scanner: &mut Scanner<'a>,
        is_first: bool,
        behind: usize,
    ) -> Result<Next<'a>, Fault> {
        let Some(key) = scanner.next_key(is_first)? else {
            return Ok(Next::End);
        };
        let Some(place) = self.places.get(&*unescape(key)) else {
            return Ok(Next::Undeclared(key));
        };
        self.next[behind].store(*place, Ordering::Relaxed);
        Ok(Next::Field(*place))
    }
}

/// What comes next in an object.
pub(super) enum Next<'a> {
    /// The field with this place.
    Field(usize),
    /// A field with this key, escapes left in.
    Undeclared(&'a str),
    End,
}

/// What was guessed of the order does not count.
impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}
