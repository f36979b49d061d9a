//! Which Avro schema becomes of a Singer schema that is put together: of references, and of alternatives.

use super::schemas::{JSON, check_compile_error, check_fields};

/// The schema of a stream with these definitions.
fn with(definitions: &str, rest: &str) -> String {
    format!(r#"{{{rest},"definitions":{{{definitions}}}}}"#)
}

fn optional(name: &str, avro: &str) -> String {
    format!(r#"{{"name":"{name}","type":["null",{avro}],"default":null}}"#)
}

#[test]
fn a_reference_met_twice_is_no_recursion_unless_it_is_around_itself() {
    let definitions = r##""B":{"properties":{"b":{"type":"integer"}}},
        "L":{"allOf":[{"$ref":"#/definitions/B"},{"properties":{"l":{"type":"integer"}}}]},
        "R":{"allOf":[{"$ref":"#/definitions/B"},{"properties":{"r":{"type":"integer"}}}]},
        "Tree":{"type":"object","properties":{"up":{"$ref":"#/definitions/Tree"},"b":{"$ref":"#/definitions/B"}}},
        "Loop":{"allOf":[{"$ref":"#/definitions/Loop"},{"properties":{"x":{}}}]}"##;
    let all_of = |parts: &str| {
        let parts: Vec<String> = parts
            .split(' ')
            .map(|name| format!(r##"{{"$ref":"#/definitions/{name}"}}"##))
            .collect();
        format!(
            r#""allOf":[{},{{"properties":{{"x":{{"type":"integer"}}}}}}]"#,
            parts.join(",")
        )
    };
    let longs = |names: &str| -> String {
        let fields: Vec<String> = names
            .split(' ')
            .map(|name| optional(name, r#""long""#))
            .collect();
        fields.join(",")
    };
    let record = |name: &str, fields: &str| {
        format!(r#"{{"type":"record","name":"{name}","fields":[{fields}]}}"#)
    };
    for (parts, fields) in [("B B", "b x"), ("L R", "b l r x"), ("L B R L", "b l r x")] {
        check_fields(&with(definitions, &all_of(parts)), &longs(fields));
        check_fields(
            &with(
                definitions,
                &format!(r#""properties":{{"f":{{{}}}}}"#, all_of(parts)),
            ),
            &optional("f", &record("s_f", &longs(fields))),
        );
    }
    // What stands beside a reference is not inside it.
    let b = |name: &str| optional("b", &record(name, &longs("b")));
    let tree = format!("{},{}", optional("up", JSON), b("s_side_b"));
    check_fields(
        &with(
            definitions,
            r##""allOf":[{"$ref":"#/definitions/Tree"}],"properties":{"side":{"$ref":"#/definitions/Tree"}}"##,
        ),
        &format!(
            "{},{},{}",
            optional("side", &record("s_side", &tree)),
            optional("up", JSON),
            b("s_b"),
        ),
    );
    check_fields(
        &with(
            definitions,
            r##""properties":{"f":{"$ref":"#/definitions/Loop"}}"##,
        ),
        &optional("f", JSON),
    );
    check_compile_error(
        &with(
            definitions,
            r##""allOf":[{"$ref":"#/definitions/Loop"},{"properties":{"y":{}}}]"##,
        ),
        "the schema consists of a $ref that leads back to it",
    );
}

#[test]
fn references_that_double_are_followed_once() {
    let doubling: Vec<String> = (0..40)
        .map(|level| {
            let next = format!(r##"{{"$ref":"#/definitions/d{}"}}"##, level + 1);
            format!(r#""d{level}":{{"allOf":[{next},{next}]}}"#)
        })
        .collect();
    check_fields(
        &with(
            &format!(r#"{},"d40":{{"type":"boolean"}}"#, doubling.join(",")),
            r##""properties":{"f":{"$ref":"#/definitions/d0"}},"required":["f"]"##,
        ),
        r#"{"name":"f","type":"boolean"}"#,
    );
}

#[test]
fn a_chain_of_references_has_an_end() {
    let chain = |length: usize, rest: &str| {
        let links: Vec<String> = (1..length)
            .map(|n| format!(r##""d{n}":{{"$ref":"#/definitions/d{}"}}"##, n + 1))
            .collect();
        let last = format!(r#""d{length}":{{"type":"boolean"}}"#);
        with(&[links.join(","), last].join(","), rest)
    };
    let field = r##""properties":{"o":{"properties":{"f":{"$ref":"#/definitions/d1"}}}}"##;
    let object = format!(
        r#"{{"type":"record","name":"s_o","fields":[{}]}}"#,
        optional("f", r#""boolean""#)
    );
    check_fields(&chain(64, field), &optional("o", &object));
    for length in [65, 50_000] {
        let what = "a chain of more than 64 $refs";
        check_compile_error(&chain(length, field), &format!("{what} (field o.f)"));
        let root = r##""allOf":[{"$ref":"#/definitions/d1"}]"##;
        check_compile_error(&chain(length, root), what);
    }
}

#[test]
fn references_are_percent_decoded() {
    let definitions =
        r#""Line Item":{"type":"boolean"},"é~/%":{"type":"integer"},"100%":{"type":"number"}"#;
    for (reference, avro) in [
        ("Line%20Item", "boolean"),
        ("Line Item", "boolean"),
        ("%4cine%20Item", "boolean"),
        ("%C3%A9~0~1%25", "long"),
        ("%C3%A9%7E0%7E1%25", "long"),
        ("100%25", "double"),
        ("100%", "double"),
    ] {
        let field = format!(r##""properties":{{"f":{{"$ref":"#/definitions/{reference}"}}}}"##);
        check_fields(
            &with(definitions, &field),
            &optional("f", &format!("\"{avro}\"")),
        );
    }
    check_compile_error(
        &with(
            definitions,
            r##""properties":{"f":{"$ref":"#/definitions/%C3"}}"##,
        ),
        "a $ref leads to no schema (field f)",
    );
}
