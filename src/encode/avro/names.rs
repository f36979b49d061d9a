//! Singer's names to Avro's: letters, digits and `_`, no digit first.
//!
//! Names that are Avro names stay. In others every character that may not be there becomes `_`, and a digit at the
//! front gets a `_` before it. Where that makes a name that is taken, a number is added: `a_b_2`. Names that
//! are Avro names have theirs first, and the others follow in their order, so that a field that is added at the end
//! renames none.

use std::collections::{HashMap, HashSet};

/// Names that have a meaning of their own where a schema names a type.
const RESERVED: &[&str] = &[
    "null", "boolean", "int", "long", "float", "double", "bytes", "string", "record", "enum",
    "array", "map", "fixed", "union", "error",
];

/// Names that may be there once.
#[derive(Default)]
struct Taken {
    names: HashSet<String>,
    /// The numbers that the next name of each kind may have.
    numbers: HashMap<String, u64>,
}

impl Taken {
    /// The name itself, or the first one that is free of it with `_2`, `_3`, ...
    fn claim(&mut self, name: &str) -> String {
        let mut free = name.to_owned();
        while !self.names.insert(free.clone()) {
            let number = self.numbers.entry(name.to_owned()).or_insert(1);
            *number += 1;
            free = format!("{name}_{number}");
        }
        free
    }
}

/// The Avro names of fields, in their order.
pub(super) fn name_fields(originals: &[&str]) -> Vec<String> {
    let mut taken = Taken::default();
    let names = originals.iter().filter(|name| is_name(name));
    taken.names.extend(names.map(ToString::to_string));
    originals
        .iter()
        .map(|original| {
            if is_name(original) {
                (*original).to_owned()
            } else {
                taken.claim(&sanitise(original))
            }
        })
        .collect()
}

/// The names of a schema's records.
#[derive(Default)]
pub(super) struct RecordNames(Taken);

impl RecordNames {
    /// The name of the outermost record.
    pub(super) fn outermost(&mut self, stream: &str) -> String {
        let mut name = sanitise(stream);
        if RESERVED.contains(&name.as_str()) {
            name.push('_');
        }
        self.0.claim(&name)
    }

    /// The name of a record in a field of another record; from the path, so that no other field's coming or going
    /// changes it, unless two paths make one name.
    pub(super) fn nested(&mut self, outer: &str, field: &str) -> String {
        self.0.claim(&format!("{outer}_{field}"))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && sanitise(text) == text
}

fn sanitise(text: &str) -> String {
    let mut name: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(originals: &[&str], expected: &[&str]) {
        assert_eq!(name_fields(originals), expected, "{originals:?}");
    }

    #[test]
    fn names_of_fields_are_legal_and_stay_where_they_are() {
        check(&["id", "_sdc_x", "A1"], &["id", "_sdc_x", "A1"]);
        check(&["1st", "", "a-b", "é"], &["_1st", "_", "a_b", "__2"]);
        check(&["string", "record"], &["string", "record"]);
    }

    #[test]
    fn names_that_collide_get_a_number() {
        check(&["a-b", "a_b", "a b"], &["a_b_2", "a_b", "a_b_3"]);
        check(&["a-b", "a_b", "a_b_2"], &["a_b_3", "a_b", "a_b_2"]);
        check(
            &["a-b", "a.b", "a b", "new.one"],
            &["a_b", "a_b_2", "a_b_3", "new_one"],
        );
        check(&["名", "前", "a"], &["_", "__2", "a"]);
    }

    #[test]
    fn a_record_is_named_once() {
        let mut names = RecordNames::default();
        assert_eq!(names.outermost("public-users"), "public_users");
        assert_eq!(names.nested("public_users", "a"), "public_users_a");
        assert_eq!(names.nested("public_users_a", "b"), "public_users_a_b");
        assert_eq!(names.nested("public_users", "a_b"), "public_users_a_b_2");
        for (stream, name) in [("string", "string_"), ("8x", "_8x"), ("", "_")] {
            assert_eq!(RecordNames::default().outermost(stream), name);
        }
    }
}
