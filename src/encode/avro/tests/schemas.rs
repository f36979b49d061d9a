//! Which Avro schema a Singer schema becomes.

use super::{AvroCodec, Kind, schema_of};

pub(super) const JSON: &str = r#"{"type":"string","singer.json":true}"#;

const MICROS: &str = r#"{"type":"long","logicalType":"timestamp-micros"}"#;

/// The Avro type of a required field.
#[track_caller]
pub(super) fn check_type(singer: &str, avro: &str) {
    let codec = AvroCodec::compile("s", &schema_of(singer)).expect(singer);
    let default = if avro.starts_with(r#"["null""#) || avro == r#""null""# {
        r#","default":null"#
    } else {
        ""
    };
    let expected = format!(
        r#"{{"type":"record","name":"s","fields":[{{"name":"f","type":{avro}{default}}}]}}"#
    );
    assert_eq!(codec.schema_text(), expected, "{singer}");
}

/// The fields of the Avro schema of a stream "s", for the rest of a Singer schema.
#[track_caller]
pub(super) fn check_fields(singer: &str, fields: &str) {
    let codec = AvroCodec::compile("s", singer).expect(singer);
    let expected = format!(r#"{{"type":"record","name":"s","fields":[{fields}]}}"#);
    assert_eq!(codec.schema_text(), expected, "{singer}");
}

#[track_caller]
pub(super) fn check_compile_error(singer: &str, expected: &str) {
    let error = AvroCodec::compile("s", singer).unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    assert_eq!(error.to_string(), expected, "{singer}");
}

pub(super) fn nullable(avro: &str) -> String {
    format!(r#"["null",{avro}]"#)
}

pub(super) fn decimal(precision: u32, scale: u32) -> String {
    format!(r#"{{"type":"bytes","logicalType":"decimal","precision":{precision},"scale":{scale}}}"#)
}

#[test]
fn scalars_become_what_holds_them() {
    check_type(r#"{"type":"integer"}"#, r#""long""#);
    check_type(r#"{"type":["integer"]}"#, r#""long""#);
    check_type(r#"{"type":["integer","null"]}"#, r#"["null","long"]"#);
    check_type(r#"{"type":["null","integer"]}"#, r#"["null","long"]"#);
    check_type(r#"{"type":"number"}"#, r#""double""#);
    check_type(r#"{"type":["integer","number"]}"#, r#""double""#);
    check_type(r#"{"type":"boolean"}"#, r#""boolean""#);
    check_type(r#"{"type":"string","maxLength":5}"#, r#""string""#);
    check_type(r#"{"type":"null"}"#, r#""null""#);
    check_type(r#"{"type":["null"]}"#, r#""null""#);
    check_type("false", r#""null""#);
}

#[test]
fn formats_of_strings_are_logical_types() {
    let format = |format: &str| format!(r#"{{"type":"string","format":"{format}"}}"#);
    check_type(&format("date-time"), MICROS);
    check_type(&format("date"), r#"{"type":"int","logicalType":"date"}"#);
    for other in ["time", "uuid", "email", "singer.decimal"] {
        check_type(&format(other), r#""string""#);
    }
    check_type(r#"{"type":"integer","format":"date-time"}"#, r#""long""#);
    check_type(
        r#"{"type":["null","string"],"format":"date-time"}"#,
        &nullable(MICROS),
    );
}

#[test]
fn decimals_are_found_by_their_step_or_format() {
    let number = |rest: &str| format!(r#"{{"type":"number",{rest}}}"#);
    check_type(&number(r#""multipleOf":0.01"#), &decimal(38, 2));
    check_type(&number(r#""multipleOf":1"#), &decimal(38, 0));
    check_type(&number(r#""multipleOf":1e-09"#), &decimal(38, 9));
    check_type(&number(r#""multipleOf":1e-38"#), &decimal(57, 38));
    check_type(&number(r#""multipleOf":0.05"#), r#""double""#);
    check_type(&number(r#""multipleOf":10"#), r#""double""#);
    check_type(&number(r#""multipleOf":1e-999"#), r#""double""#);
    check_type(&number(r#""multipleOf":"x""#), r#""double""#);
    check_type(
        &number(
            r#""multipleOf":0.01,"minimum":-1e8,"exclusiveMinimum":true,"maximum":1e8,"exclusiveMaximum":true"#,
        ),
        &decimal(10, 2),
    );
    check_type(
        &number(r#""multipleOf":0.01,"exclusiveMinimum":-100,"exclusiveMaximum":1000"#),
        &decimal(5, 2),
    );
    check_type(
        &number(r#""multipleOf":0.01,"minimum":0,"maximum":99.99"#),
        &decimal(4, 2),
    );
    check_type(&number(r#""multipleOf":0.01,"minimum":0"#), &decimal(38, 2));
    let singer = |rest: &str| format!(r#"{{"type":"string","format":"singer.decimal",{rest}}}"#);
    check_type(&singer(r#""precision":20,"scale":4"#), &decimal(20, 4));
    check_type(&singer(r#""scale":4"#), &decimal(38, 4));
    check_type(&singer(r#""precision":3,"scale":4"#), &decimal(4, 4));
    check_type(&singer(r#""precision":20"#), r#""string""#);
    check_type(&singer(r#""scale":2000"#), r#""string""#);
    check_type(&singer(r#""scale":-1"#), r#""string""#);
    check_type(
        r#"{"type":["string","null"],"format":"x-singer.decimal","precision":5,"scale":0}"#,
        &nullable(&decimal(5, 0)),
    );
}

#[test]
fn what_may_be_of_several_types_is_a_string() {
    check_type(r#"{"type":["integer","string"]}"#, r#""string""#);
    check_type(
        r#"{"type":["boolean","null","number"]}"#,
        r#"["null","string"]"#,
    );
    check_type(r#"{"type":["string","object"]}"#, JSON);
    check_type(r#"{"type":["array","object","null"]}"#, &nullable(JSON));
    check_type("{}", &nullable(JSON));
    check_type("true", &nullable(JSON));
    check_type(r#"{"description":"x"}"#, &nullable(JSON));
    check_type(r#"{"enum":["a","b"]}"#, r#""string""#);
    check_type(r#"{"enum":["a",null]}"#, r#"["null","string"]"#);
    check_type(r#"{"enum":[1,2.0]}"#, r#""long""#);
    check_type(r#"{"enum":[1,2.5]}"#, r#""double""#);
    check_type(r#"{"enum":[1,"a"]}"#, r#""string""#);
    check_type(r#"{"enum":[1,[]]}"#, JSON);
    check_type(r#"{"const":true}"#, r#""boolean""#);
    check_type(r#"{"type":"string","enum":["a",null]}"#, r#""string""#);
}

#[test]
fn alternatives_become_what_all_of_them_fit() {
    let any = |branches: &str| format!(r#"{{"anyOf":[{branches}]}}"#);
    let time = r#"{"type":"string","format":"date-time"}"#;
    check_type(
        &any(&format!(r#"{time},{{"type":"null"}}"#)),
        &nullable(MICROS),
    );
    check_type(
        &any(&format!(r#"{time},{{"type":["string","null"]}}"#)),
        r#"["null","string"]"#,
    );
    check_type(
        &any(r#"{"type":"integer"},{"type":"number"}"#),
        r#""double""#,
    );
    check_type(
        &any(r#"{"type":"integer"},{"type":"string"}"#),
        r#""string""#,
    );
    check_type(&any(r#"{"type":"integer"},{"type":"array"}"#), JSON);
    check_type(&any(r#"{"type":"integer"},{}"#), &nullable(JSON));
    check_type(&any(r#"{"type":"null"}"#), r#""null""#);
    check_type(
        r#"{"oneOf":[{"type":"integer"},{"type":["null","integer"]}]}"#,
        r#"["null","long"]"#,
    );
    check_type(
        r#"{"type":["null","string"],"anyOf":[{"format":"date-time"},{}]}"#,
        r#"["null","string"]"#,
    );
    check_type(
        r#"{"type":"string","anyOf":[{"format":"date-time"},{"format":"date-time","maxLength":30}]}"#,
        MICROS,
    );
    check_type(
        r#"{"type":"integer","anyOf":[{"minimum":5},{"maximum":1}]}"#,
        r#""long""#,
    );
    let record = r#"{"type":"record","name":"s_f","fields":[{"name":"a","type":"long"}]}"#;
    let object = r#"{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}"#;
    check_type(
        &any(&format!(r#"{{"type":"null"}},{object}"#)),
        &nullable(record),
    );
    check_type(
        &any(&format!(
            r#"{object},{{"type":"object","properties":{{"b":{{}}}}}}"#
        )),
        JSON,
    );
    check_type(
        &format!(r#"{{"allOf":[{time},{{"maxLength":30}}]}}"#),
        MICROS,
    );
}

#[test]
fn objects_are_records_maps_or_text() {
    check_type(r#"{"type":"object"}"#, JSON);
    check_type(r#"{"type":"object","properties":{}}"#, JSON);
    check_type(r#"{"type":"object","additionalProperties":true}"#, JSON);
    check_type(
        r#"{"type":"object","additionalProperties":{"type":["integer","null"]}}"#,
        r#"{"type":"map","values":["null","long"]}"#,
    );
    check_type(
        r#"{"type":"object","patternProperties":{"^x":{}},"additionalProperties":{}}"#,
        JSON,
    );
    check_type(
        r#"{"type":["object","null"],"properties":{"a":{"type":"integer"}},"additionalProperties":true}"#,
        r#"["null",{"type":"record","name":"s_f","fields":[{"name":"a","type":["null","long"],"default":null}]}]"#,
    );
    check_type(
        r#"{"properties":{"a":{"type":"integer"}}}"#,
        r#"["null",{"type":"record","name":"s_f","fields":[{"name":"a","type":["null","long"],"default":null}]}]"#,
    );
}

#[test]
fn arrays_hold_their_items() {
    let array = |items: &str| format!(r#"{{"type":"array","items":{items}}}"#);
    check_type(&array(r#"{"type":"string"}"#), &array(r#""string""#));
    check_type(
        &array(r#"{"type":["null","string"]}"#),
        &array(r#"["null","string"]"#),
    );
    check_type(
        &array(&array(r#"{"type":"integer"}"#)),
        &array(&array(r#""long""#)),
    );
    for untyped in [
        r#"{"type":"array"}"#,
        &array("{}"),
        &array(r#"[{"type":"string"}]"#),
    ] {
        check_type(untyped, &array(&nullable(JSON)));
    }
    check_type(
        r#"{"items":{"type":"string"}}"#,
        &nullable(&array(r#""string""#)),
    );
}

#[test]
fn fields_stand_in_the_schemas_order_and_are_nullable_unless_required() {
    check_fields(
        r#"{"required":["z"],"type":"object","properties":{"z":{"type":"integer"},"a":{"type":"string"},"n":{"type":"null"}}}"#,
        r#"{"name":"z","type":"long"},{"name":"a","type":["null","string"],"default":null},{"name":"n","type":"null","default":null}"#,
    );
    check_fields(r#"{"properties":{}}"#, "");
}

#[test]
fn records_are_named_by_their_path() {
    let object = |fields: &str| format!(r#"{{"type":"object","properties":{{{fields}}}}}"#);
    let leaf = object(r#""x":{"type":"null"}"#);
    let singer = format!(
        r#"{{"properties":{{"a":{},"a-b":{},"list":{{"type":"array","items":{leaf}}},"a_b":{leaf}}},"required":["a","a-b","list","a_b"]}}"#,
        object(&format!(r#""b":{leaf}"#)),
        leaf,
    );
    let record = |name: &str, fields: &str| {
        format!(r#"{{"type":"record","name":"{name}","fields":[{fields}]}}"#)
    };
    let leaf = |name: &str| record(name, r#"{"name":"x","type":"null","default":null}"#);
    let expected = [
        format!(
            r#"{{"name":"a","type":{}}}"#,
            record(
                "s_a",
                &format!(
                    r#"{{"name":"b","type":["null",{}],"default":null}}"#,
                    leaf("s_a_b")
                )
            )
        ),
        format!(
            r#"{{"name":"a_b_2","type":{},"singer.name":"a-b"}}"#,
            leaf("s_a_b_2")
        ),
        format!(
            r#"{{"name":"list","type":{{"type":"array","items":{}}}}}"#,
            leaf("s_list")
        ),
        format!(r#"{{"name":"a_b","type":{}}}"#, leaf("s_a_b_3")),
    ];
    check_fields(&singer, &expected.join(","));
}

#[test]
fn the_original_names_are_kept() {
    let codec = AvroCodec::compile(
        "public-\"users\"",
        r#"{"properties":{"é":{"type":"null"}}}"#,
    );
    assert_eq!(
        codec.unwrap().schema_text(),
        r#"{"type":"record","name":"public__users_","singer.name":"public-\"users\"","fields":[{"name":"_","type":"null","default":null,"singer.name":"é"}]}"#
    );
}

#[test]
fn references_within_the_schema_are_followed_once() {
    let with = |field: &str| {
        format!(
            r##"{{"properties":{{"f":{field}}},"required":["f"],"definitions":{{"id":{{"type":"integer"}},"node":{{"type":"object","properties":{{"v":{{"$ref":"#/definitions/id"}},"next":{{"$ref":"#/definitions/node"}}}}}}}}}}"##
        )
    };
    check_fields(
        &with(r##"{"$ref":"#/definitions/id"}"##),
        r#"{"name":"f","type":"long"}"#,
    );
    check_fields(
        &with(r##"{"anyOf":[{"type":"null"},{"allOf":[{"$ref":"#/definitions/id"}]}]}"##),
        r#"{"name":"f","type":["null","long"],"default":null}"#,
    );
    check_fields(
        &with(r##"{"$ref":"#/definitions/node"}"##),
        &format!(
            r#"{{"name":"f","type":{{"type":"record","name":"s_f","fields":[{{"name":"v","type":["null","long"],"default":null}},{{"name":"next","type":["null",{JSON}],"default":null}}]}}}}"#
        ),
    );
    check_fields(
        &with(r##"{"$ref":"#"}"##),
        &format!(r#"{{"name":"f","type":["null",{JSON}],"default":null}}"#),
    );
}

#[test]
fn a_schema_that_cannot_be_understood_names_its_field() {
    let field = schema_of;
    for (singer, expected) in [
        ("[]", "a schema that Avro is made of must have properties"),
        ("{}", "a schema that Avro is made of must have properties"),
        (
            r#"{"properties":[]}"#,
            "a schema that Avro is made of must have properties",
        ),
        (
            r#"{"properties":{},"x":NaN}"#,
            "a schema that Avro is made of must be JSON of at most 127 levels",
        ),
        (&field("1"), "a field's schema must be an object (field f)"),
        (
            &field(r#"{"type":"strng"}"#),
            "the schema names an unknown type (field f)",
        ),
        (
            &field(r#"{"type":[["string"]]}"#),
            "a type must be a name or an array of names (field f)",
        ),
        (
            &field(r#"{"type":1}"#),
            "a type must be a name or an array of names (field f)",
        ),
        (
            &field(r#"{"type":"object","properties":[]}"#),
            "properties must be an object (field f)",
        ),
        (
            &field(r#"{"type":"array","items":{"properties":{"a":{"type":""}}}}"#),
            "the schema names an unknown type (field f[].a)",
        ),
        (
            &field(r#"{"type":"object","additionalProperties":{"type":""}}"#),
            "the schema names an unknown type (field f.*)",
        ),
        (
            &field(r#"{"$ref":"http://example.com/x"}"#),
            "a $ref must lead to a place in the same schema: '#/definitions/...' (field f)",
        ),
        (
            &field(r##"{"$ref":"#/definitions/x"}"##),
            "a $ref leads to no schema (field f)",
        ),
    ] {
        check_compile_error(singer, expected);
    }
}

#[test]
fn schemas_that_grow_without_end_have_one() {
    let doubling: Vec<String> = (0..40)
        .map(|level| {
            let next = format!(r##"{{"$ref":"#/definitions/d{}"}}"##, level + 1);
            format!(r#""d{level}":{{"properties":{{"a":{next},"b":{next}}}}}"#)
        })
        .collect();
    let wide = format!(
        r##"{{"properties":{{"f":{{"$ref":"#/definitions/d0"}}}},"definitions":{{{},"d40":{{}}}}}}"##,
        doubling.join(",")
    );
    let error = AvroCodec::compile("s", &wide).unwrap_err().to_string();
    assert!(
        error.starts_with("the schema comes to more than 100,000 fields (field f.a."),
        "{error}"
    );
    let chain: Vec<String> = (0..200)
        .map(|level| {
            format!(
                r##""d{level}":{{"properties":{{"a":{{"$ref":"#/definitions/d{}"}}}}}}"##,
                level + 1
            )
        })
        .collect();
    let deep = format!(
        r##"{{"properties":{{"f":{{"$ref":"#/definitions/d0"}}}},"definitions":{{{},"d200":{{}}}}}}"##,
        chain.join(",")
    );
    let codec = AvroCodec::compile("s", &deep).unwrap();
    assert_eq!(codec.schema_text().matches("record").count(), 65);
    assert!(codec.schema_text().contains(JSON));
}

#[test]
fn a_nullable_column_more_changes_nothing_else() {
    let with = |more: &str| {
        let singer = format!(
            r#"{{"properties":{{"o":{{"type":"object","properties":{{"x-y":{{"type":"integer"}}}}}}{more}}}}}"#
        );
        AvroCodec::compile("s", &singer)
            .unwrap()
            .schema_text()
            .to_owned()
    };
    let (before, after) = (with(""), with(r#","new":{"type":["string","null"]}"#));
    let added = r#",{"name":"new","type":["null","string"],"default":null}]}"#;
    assert_eq!(
        after,
        before
            .replacen("]}", added, usize::MAX)
            .replace(&format!("{added}]"), "]}]")
    );
}
