//! A record's JSON text to Avro binary, in two steps for each object: where its values are, and then each value in
//! the order of the schema. Memory is asked for only by objects of many fields, and by strings with escapes once a
//! record.

use super::decimal;
use super::instant;
use super::misfit::Misfit;
use super::shape::{Next, Record, Shape, Slot};
use super::wire::{Length, push_bytes, push_long};
use crate::singer::json::Scanner;
use crate::singer::value::{self, push_unescaped, string_inside, unescape};

/// Fields of a record that are found without asking for memory.
const FEW_FIELDS: usize = 32;

/// NATS' largest payload. Items of few characters may become records of many fields, all of them null, so there
/// must be an end to it before the whole record is there.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Appends a record; on failure `out` holds some of it. `text` was scanned before.
pub(super) fn encode(record: &Record, text: &str, out: &mut Vec<u8>) -> Result<(), Misfit> {
    out.reserve(text.len() / 2);
    let mut encoder = Encoder {
        most: out.len() + MOST_BYTES,
        out,
        text: String::new(),
    };
    encoder.record(record, text)
}

struct Encoder<'o> {
    out: &'o mut Vec<u8>,
    /// How long that may become.
    most: usize,
    /// Room for the text of a string that has escapes.
    text: String,
}

impl Encoder<'_> {
    fn record(&mut self, record: &Record, text: &str) -> Result<(), Misfit> {
        let (mut few, mut many) = ([None; FEW_FIELDS], Vec::new());
        let found = if let Some(few) = few.get_mut(..record.fields.len()) {
            few
        } else {
            many.resize(record.fields.len(), None);
            &mut many
        };
        find_fields(record, text, found)?;
        for (field, value) in record.fields.iter().zip(found) {
            match *value {
                Some(value) => self.slot(&field.slot, value),
                None if field.slot.takes_null() => self.slot(&field.slot, "null"),
                None => Err("the record lacks a field that is required and not nullable".into()),
            }
            .map_err(|misfit| misfit.in_field(&field.name))?;
        }
        Ok(())
    }

    fn slot(&mut self, slot: &Slot, text: &str) -> Result<(), Misfit> {
        if text == "null" {
            if slot.nullable {
                push_long(self.out, 0);
            } else if slot.shape != Shape::Null {
                return Err("null in a field that is not nullable".into());
            }
            return Ok(());
        }
        if slot.nullable {
            push_long(self.out, 1);
        }
        self.shape(&slot.shape, text)
    }

    /// A value other than null.
    fn shape(&mut self, shape: &Shape, text: &str) -> Result<(), Misfit> {
        match shape {
            Shape::Null => return Err("a value in a field that can only be null".into()),
            Shape::Boolean => match text {
                "true" => self.out.push(1),
                "false" => self.out.push(0),
                _ => return Err("a value that is not a boolean".into()),
            },
            Shape::Long => {
                let value = decimal::parse_long(text);
                push_long(
                    self.out,
                    value.ok_or("a value that is not an integer of 64 bits")?,
                );
            }
            Shape::Double => {
                let value = parse_double(text).ok_or("a value that is not a number of 64 bits")?;
                self.out.extend_from_slice(&value.to_le_bytes());
            }
            Shape::Decimal(decimal) => self.decimal(*decimal, text)?,
            Shape::Timestamp => {
                let value = self.text_of(text).and_then(instant::parse_timestamp);
                push_long(self.out, value.ok_or("a value that is not a date-time")?);
            }
            Shape::Date => {
                let value = self.text_of(text).and_then(instant::parse_day);
                push_long(self.out, value.ok_or("a value that is not a date")?.into());
            }
            Shape::String => {
                let inside = string_inside(text).ok_or("a value that is not a string")?;
                self.string(inside)?;
            }
            Shape::Text => match string_inside(text) {
                Some(inside) => self.string(inside)?,
                None => push_bytes(self.out, text.as_bytes()),
            },
            Shape::Json => push_bytes(self.out, text.as_bytes()),
            Shape::Array(items) => self.array(items, text)?,
            Shape::Map(values) => self.map(values, text)?,
            Shape::Record(record) => self.record(record, text)?,
        }
        Ok(())
    }

    /// The text that a JSON string stands for; `None` for any other value.
    fn text_of<'t>(&'t mut self, value: &'t str) -> Option<&'t str> {
        let inside = string_inside(value)?;
        if !has_escape(inside) {
            return Some(inside);
        }
        self.unescape(inside);
        Some(&self.text)
    }

    fn unescape(&mut self, inside: &str) {
        self.text.clear();
        self.text.reserve(inside.len());
        push_unescaped(inside, &mut self.text);
    }

    fn string(&mut self, inside: &str) -> Result<(), Misfit> {
        if has_escape(inside) {
            self.unescape(inside);
            if self.text.contains(char::REPLACEMENT_CHARACTER) && has_lone_surrogate(inside) {
                return Err("a string with half a surrogate pair, which no UTF-8 can hold".into());
            }
            push_bytes(self.out, self.text.as_bytes());
        } else {
            push_bytes(self.out, inside.as_bytes());
        }
        Ok(())
    }

    /// From a number or, as decimals of Singer's SDK come, a string.
    fn decimal(&mut self, decimal: decimal::Decimal, text: &str) -> Result<(), Misfit> {
        let number = string_inside(text).unwrap_or(text);
        let length = Length::begin(self.out);
        decimal.push_units(number, self.out)?;
        let bytes = length.bytes(self.out);
        length.end(self.out, bytes);
        Ok(())
    }

    fn array(&mut self, items: &Slot, text: &str) -> Result<(), Misfit> {
        let mut scanner = Scanner::new(text);
        if !scanner.take_byte(b'[') {
            return Err("a value that is not an array".into());
        }
        let block = Length::begin(self.out);
        let mut count = 0;
        scanner.skip_space();
        while !scanner.take_byte(b']') {
            let value = scanner.value().map_err(invalid)?;
            self.slot(items, value)
                .and_then(|()| self.check_size())
                .map_err(|misfit| misfit.in_item(count))?;
            count += 1;
            scanner.skip_space();
            scanner.take_byte(b',');
        }
        block.end_blocks(self.out, count);
        Ok(())
    }

    /// Keys that occur twice are written twice: readers let the last one count.
    fn map(&mut self, values: &Slot, text: &str) -> Result<(), Misfit> {
        let mut scanner = Scanner::new(text);
        enter_object(&mut scanner)?;
        let block = Length::begin(self.out);
        let mut count = 0;
        while let Some(key) = scanner.next_key(count == 0).map_err(invalid)? {
            let value = scanner.value().map_err(invalid)?;
            // A key of a map is content.
            self.string(key)
                .and_then(|()| self.slot(values, value))
                .and_then(|()| self.check_size())
                .map_err(|misfit| misfit.in_field("*"))?;
            count += 1;
        }
        block.end_blocks(self.out, count);
        Ok(())
    }

    fn check_size(&self) -> Result<(), Misfit> {
        if self.out.len() > self.most {
            return Err(
                "the record becomes more than 64 MiB, and no NATS server takes that".into(),
            );
        }
        Ok(())
    }
}

/// Notes where the fields' values are: they are written in the schema's order, and of keys that occur twice the last
/// one counts, as in Python.
fn find_fields<'a>(
    record: &Record,
    text: &'a str,
    found: &mut [Option<&'a str>],
) -> Result<(), Misfit> {
    let mut scanner = Scanner::new(text);
    enter_object(&mut scanner)?;
    let mut behind = record.before_first();
    let mut is_first = true;
    loop {
        let next = record.next_field(&mut scanner, is_first, behind);
        is_first = false;
        match next.map_err(invalid)? {
            Next::Field(place) => {
                found[place] = Some(scanner.value().map_err(invalid)?);
                behind = place;
            }
            Next::Undeclared(key) => {
                if scanner.value().map_err(invalid)? != "null" {
                    refuse_undeclared(text, key)?;
                }
            }
            Next::End => return Ok(()),
        }
    }
}

fn enter_object(scanner: &mut Scanner<'_>) -> Result<(), Misfit> {
    let entered = scanner.enter_object();
    entered.map_err(|_| "a value that is not an object".into())
}

/// Fails if the last value of an undeclared key is anything but null.
#[cold]
fn refuse_undeclared(object: &str, key: &str) -> Result<(), Misfit> {
    let name = unescape(key).into_owned();
    if value::field(object, std::slice::from_ref(&name)) == Some("null") {
        return Ok(());
    }
    let misfit = Misfit::new("the schema does not declare the field, so Avro has no place for it");
    Err(misfit.in_field(&name))
}

fn has_escape(inside: &str) -> bool {
    memchr::memchr(b'\\', inside.as_bytes()).is_some()
}

/// Whether a `\u` escape is one half of a pair whose other half is not next to it.
#[cold]
fn has_lone_surrogate(inside: &str) -> bool {
    let mut rest = inside;
    let mut awaits_low = false;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        if awaits_low && at > 0 {
            return true;
        }
        let is_unit = rest.as_bytes().get(at + 1) == Some(&b'u');
        rest = rest.get(at + 2..).unwrap_or_default();
        let digits = rest.get(..4).filter(|_| is_unit);
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let is_low = matches!(unit, Some(0xdc00..=0xdfff));
        if awaits_low != is_low {
            return true;
        }
        awaits_low = matches!(unit, Some(0xd800..=0xdbff));
        if is_unit {
            rest = rest.get(4..).unwrap_or_default();
        }
    }
    awaits_low
}

/// A text that was scanned before has no faults; the scanner cannot know.
fn invalid<T>(_: T) -> Misfit {
    Misfit::new("the record is not valid JSON")
}

/// The nearest double; `None` for what is no number, or too large for one.
fn parse_double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ if text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) => {
            text.parse().ok().filter(|value: &f64| value.is_finite())
        }
        _ => None,
    }
}
